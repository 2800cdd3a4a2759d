"""ONNX operators evaluated by the reference runtime itself."""

import tempfile
from pathlib import Path

import numpy as np

from ...errors import ToolError


__all__ = ["IR_VERSION", "OnnxOperators", "import_onnx", "open_session", "optimise"]


#: The newest file format that onnxruntime is sure to read.
IR_VERSION = 10

#: Whose operators onnxruntime has itself.
RUNTIME_DOMAINS = ("", "ai.onnx", "com.microsoft")


#: Optimisations that are left out where a model is read: blocks of channels, which make no
#: difference to quantised layers, and operators that do dynamic quantisation at once, which
#: compute the same.
UNFUSED = ("NchwcTransformer", "DynamicQuantizeMatMulFusion", "MatMulIntegerToFloatFusion")


def import_onnx():
    """The packages ``onnx``, ``onnxruntime`` and ``qonnx``.

    Raises
    ------
    ToolError
        If one is missing.
    """
    try:
        import onnx
        import onnxruntime
        import qonnx.custom_op.registry
    except ImportError as error:
        raise ToolError(f"ONNX models need {error.name}: pip install \"popmac[onnx]\"") from None
    return onnx, onnxruntime, qonnx


def open_session(model, *, optimised=True, save_to=None, without=()):
    """Session of onnxruntime on the processor, with the settings that are popmac's contract.

    All optimisations are on, and int8 activations stay what they are
    (``session.qdqisint8allowed``): without, onnxruntime computes quantised layers in floating
    point, or in uint8. One thread.

    Parameters
    ----------
    model : onnx.ModelProto
    optimised : bool
        Off for a model that was optimised before.
    save_to : path, optional
        Where the optimised model is written to.
    without : sequence of str
        Optimisations that are left out.
    """
    _, onnxruntime, _ = import_onnx()
    options = onnxruntime.SessionOptions()
    options.log_severity_level   = 4 # errors are raised
    options.intra_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = \
        levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    return onnxruntime.InferenceSession(model.SerializeToString(), options,
                                        providers=["CPUExecutionProvider"],
                                        disabled_optimizers=list(without),
                                        enable_fallback=0) # which would print its own lines


def optimise(model):
    """``model`` as onnxruntime executes it: its own fusions of quantised layers done.

    What stays floating point keeps its operators: their layout in blocks of channels, which makes
    no difference to quantised layers, is left out.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    onnx.ModelProto
    """
    onnx, *_ = import_onnx()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        open_session(model, save_to=path, without=UNFUSED)
        return onnx.load(path)


class OnnxOperators:
    """Evaluates nodes of a model, one at a time.

    Parameters
    ----------
    model : onnx.ModelProto
        Whose operator versions count.
    """

    def __init__(self, model):
        self._onnx, self._runtime, self._qonnx = import_onnx()
        self._opsets = list(model.opset_import)
        self._sessions = {}

    def run(self, nodes, values):
        """Values of all tensors that ``nodes`` compute, in order.

        Parameters
        ----------
        nodes : sequence of onnx.NodeProto
        values : mapping of str to ndarray
            What the nodes read.

        Returns
        -------
        dict of str to ndarray
        """
        values = dict(values)
        for node in nodes:
            if node.domain in RUNTIME_DOMAINS:
                values.update(zip(node.output, self._standard(node, values)))
            else:
                instance = self._qonnx.custom_op.registry.getCustomOp(node)
                context  = dict(values)
                instance.execute_node(context, None)
                values.update((name, np.asarray(context[name])) for name in node.output)
        return values

    def _standard(self, node, values):
        feeds = {name: values[name] for name in dict.fromkeys(node.input) if name}
        key   = node.SerializeToString(), tuple((a.dtype.str, a.ndim) for a in feeds.values())
        if key not in self._sessions:
            helper = self._onnx.helper
            inputs = [helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(a.dtype), [None] * a.ndim)
                for name, a in feeds.items()]
            outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
            model   = helper.make_model(
                helper.make_graph([node], "node", inputs, outputs),
                opset_imports=[o for o in self._opsets if o.domain in RUNTIME_DOMAINS],
                ir_version=IR_VERSION)
            options = self._runtime.SessionOptions()
            options.log_severity_level   = 4 # errors are raised
            options.intra_op_num_threads = 1
            self._sessions[key] = self._runtime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return self._sessions[key].run([name for name in node.output if name], feeds)
