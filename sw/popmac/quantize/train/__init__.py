"""Quantisation-aware training in PyTorch; needs the extra ``train``."""

from importlib.util import find_spec

from ...errors import ToolError


if find_spec("torch") is None:
    raise ToolError('training needs PyTorch: pip install "popmac[train]"')
