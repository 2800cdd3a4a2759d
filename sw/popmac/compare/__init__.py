"""One network in several precisions, side by side."""

from .comparison import Comparison, Row, compare
from .page import comparison_page


__all__ = ["Comparison", "Row", "compare", "comparison_page"]
