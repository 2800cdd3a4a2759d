"""From float models to quantised ones. ``popmac.quantize(...)`` calls :func:`quantize`."""

import sys
from types import ModuleType

from ..compiler.frontends.onnx_runtime import import_onnx


try:
    from .post_training import quantize
except ImportError:
    import_onnx() # says what to install
    raise


__all__ = ["quantize"]


class _CallablePackage(ModuleType):
    """A package with the name of its function, which ``popmac.quantize`` may stand for too."""

    def __call__(self, *arguments, **options):
        return quantize(*arguments, **options)


sys.modules[__name__].__class__ = _CallablePackage
