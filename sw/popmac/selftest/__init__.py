"""Tests of a device by its user: memories, link, and every operator."""

from .items import Item, selftest


__all__ = ["Item", "selftest"]
