"""PyTorch modules as ONNX files."""

import io
import sys
import warnings

import numpy as np

from ..errors import InputError, UnsupportedModelError


__all__ = ["export_module", "is_module"]


_OPSET = 17


def is_module(model):
    """Whether ``model`` is a ``torch.nn.Module``. Nobody has one who has not imported PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def export_module(module, samples):
    """Bytes of an ONNX file of a module in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
    samples : ndarray or mapping of str to ndarray
        Samples along the first axis; the first one is what the module is traced with. A mapping
        names the inputs, in the order of the module's arguments.

    Raises
    ------
    UnsupportedModelError
        If PyTorch cannot export it.
    """
    import torch
    if not hasattr(samples, "keys"):
        samples = {"x": samples}
    arrays = {name: np.asarray(samples[name]) for name in samples.keys()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or array.ndim < 2 or not len(array):
            raise InputError(f"calibration of input {name!r} must be real numbers of shape "
                             f"(samples, ...), not {array.dtype} {array.shape}")
    first    = tuple(torch.from_numpy(a[:1].astype(np.float32)) for a in arrays.values())
    training = module.training
    buffer   = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore") # the exporter warns of its own future
            torch.onnx.export(module.eval(), first, buffer, input_names=list(arrays),
                              output_names=None, opset_version=_OPSET, dynamo=False)
    except Exception as error: # whatever the module or the exporter raises
        raise UnsupportedModelError([(type(module).__name__, "PyTorch cannot export it "
                                      f"({' '.join(str(error).split())[:200]})",
                                      "export it to ONNX yourself")]) from None
    finally:
        module.train(training)
    return buffer.getvalue()
