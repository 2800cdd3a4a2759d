"""ONNX operators evaluated by the reference runtime itself."""

import numpy as np

from ...errors import ToolError


__all__ = ["IR_VERSION", "OnnxOperators", "import_onnx"]


#: The newest file format that onnxruntime is sure to read.
IR_VERSION = 10


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
            if node.domain in ("", "ai.onnx"):
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
                opset_imports=[o for o in self._opsets if o.domain in ("", "ai.onnx")],
                ir_version=IR_VERSION)
            options = self._runtime.SessionOptions()
            options.log_severity_level   = 4 # errors are raised
            options.intra_op_num_threads = 1
            self._sessions[key] = self._runtime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return self._sessions[key].run([name for name in node.output if name], feeds)
