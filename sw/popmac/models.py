"""Models by path."""

from pathlib import Path

from .errors import ModelFormatError
from .graph import Graph


__all__ = ["load"]


MAX_BYTES = 1 << 30


def load(path) -> Graph:
    """Load a model: ``.tflite``, or QONNX in ``.onnx``.

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
            from .compiler.frontends.qonnx import load_qonnx
            return load_qonnx(data, path.name)
        case _:
            raise ModelFormatError(f"{path}: models are .tflite and .onnx files")
