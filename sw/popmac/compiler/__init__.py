"""From models to programs."""

from ..graph import Graph
from .pipeline import compile_graph


__all__ = ["compile_graph", "compile_model"]


def compile_model(model, target, *, fuse=True):
    """Compile a :class:`Graph`, or the model at a path, for a target.

    Parameters
    ----------
    model : Graph or path
    target : str or ArchConfig
    fuse : bool
        Join operators where that saves time; the tensors between them are not computed then.
    """
    if not isinstance(model, Graph):
        from ..models import load
        model = load(model)
    return compile_graph(model, target, fuse=fuse)
