"""Layouts of the records of the instruction set."""

from dataclasses import fields

from amaranth import *
from amaranth.lib import data


__all__ = ["record_layout"]


def record_layout(record):
    """Layout of the bits of a :class:`popmac.isa.Record`."""
    return data.StructLayout({
        f.name: record_layout(f.metadata["record"]) if "record" in f.metadata
                else signed(f.metadata["width"]) if f.metadata["signed"]
                else unsigned(f.metadata["width"])
        for f in fields(record)
    })
