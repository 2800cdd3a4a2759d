"""Models by path."""

from pathlib import Path

from .errors import ModelFormatError
from .graph import Graph


__all__ = ["load"]


MAX_BYTES = 1 << 30


def load(path) -> Graph:
    """Load a model: ``.tflite``, or ``.onnx``: QONNX, or quantised for onnxruntime.

    Of which kind a ``.onnx`` file is, its operators say.

    Raises
    ------
    ModelFormatError
        If the file cannot be read, is damaged, or is of another kind.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelFormatError(f"{path}: is larger than {MAX_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"{path}: {error.strerror}") from None
    match path.suffix.lower():
        case ".tflite":
            from .compiler.frontends.tflite import load_tflite
            return load_tflite(data, path.name)
        case ".onnx":
            from .compiler.frontends.onnx_file import load_onnx
            return load_onnx(data, path.name)
        case _:
            raise ModelFormatError(f"{path}: models are .tflite and .onnx files")
