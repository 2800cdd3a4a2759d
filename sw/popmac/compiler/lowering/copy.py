"""Copies of parts of tensors: the greatest of one word, or a word times 1."""

import numpy as np

from ... import isa
from ..nest import Loop
from ..plan import LayerPlan
from ..records import parameter_rows


__all__ = ["copy_box", "word_loops"]


def word_loops(source, target):
    """Loops over all words of two tensors of the same shape, and the bytes of a row of the first.

    Both may have any pitches; pixels share words in both or in neither.
    """
    if source.group < source.word_bytes:
        count = -(-source.row_bytes // source.word_bytes)
        steps = source.word_bytes, target.word_bytes
    else:
        count, steps = source.width, (source.pixel_bytes, target.pixel_bytes)
    return {
        "column":       Loop(count, column=steps[0], output=steps[1]),
        "row":          Loop(source.height, row=1, word=source.row_pitch,
                             output=target.row_pitch * target.word_bytes),
        "output_block": Loop(source.blocks, word=source.block_pitch,
                             output=target.block_pitch * target.word_bytes),
    }, count * steps[0]


def copy_box(node, names, layouts, arch, *, size, source_at=(0, 0, 0), target_at=(0, 0, 0),
             strides=(1, 1), spacing=(1, 1), padding=0):
    """Layers that copy a box from one tensor into another.

    Where the channels of a pixel end within a group of the target, what lies behind them there is
    overwritten, too: parts of a pixel have to be copied in order.

    Parameters
    ----------
    node : Node
    names, layouts : (source, target)
    arch : ArchConfig
    size : (rows, columns, channels)
    source_at, target_at : (row, column, channel)
        First element. The box may reach beyond the rows and columns of the source, where it is
        filled with ``padding``.
    strides, spacing : (rows, columns)
        From an element to the next, in the source and in the target.
    padding : int
    """
    source, target = layouts
    rows, columns, channels = size
    word = arch.word_bytes

    if isa.Unit.MAXIMUM.name in arch.units:
        unit, record = isa.Unit.MAXIMUM, isa.PairParameters
        weights      = np.zeros((0, arch.rows, arch.columns), np.int8)
    else:
        unit, record = isa.Unit.ARRAY, isa.ChannelParameters
        weights      = np.eye(arch.rows, arch.columns, dtype=np.int8)[None]

    def plan(lane, place, group, loops, row_bytes):
        return LayerPlan(
            node=node.name, op=node.op, source=names[0], target=names[1], unit=unit, loops=loops,
            first_row=source_at[0],
            first_column=source_at[1] * source.pixel_bytes + lane % source.group,
            source_words=source_at[0] * source.row_pitch
                + lane // source.group * source.block_pitch,
            target_bytes=(target_at[0] * target.row_pitch
                          + place // target.group * target.block_pitch) * word
                + target_at[1] * target.pixel_bytes + place % target.group,
            height=source.height, row_bytes=row_bytes, padding=padding,
            zero_point=0, low=-128, high=127, group=group,
            weights=weights,
            parameters=parameter_rows(record, arch.columns, multiplier=np.ones(arch.columns)),
            shared=True)

    across = Loop(columns, column=strides[1] * source.pixel_bytes,
                  output=spacing[1] * target.pixel_bytes)
    down   = Loop(rows, row=strides[0], word=strides[0] * source.row_pitch,
                  output=spacing[0] * target.row_pitch * word)

    whole_rows = target_at[1:] == (0, 0) and columns == target.width and channels == target.channels
    if source.group == target.group < word and whole_rows and strides[1] == spacing[1] == 1 \
            and source_at[2] == 0:
        words = Loop(-(-target.row_bytes // word), column=word, output=word)
        return [plan(0, 0, word, {"column": words, "row": down}, source.row_bytes)]

    plans, done = [], 0
    while done < channels:
        lane, place, left = source_at[2] + done, target_at[2] + done, channels - done
        if source.group == target.group == word and lane % word == place % word == 0:
            loops = {"output_block": Loop(-(-left // word), word=source.block_pitch,
                                          output=target.block_pitch * word)}
            group, done = word, channels
        else:
            # As many channels as are in one block of the source, at a place that can be written.
            group = min(arch.lanes, target.group)
            while place % group or lane % source.group + min(group, left) > source.group:
                group //= 2
            while group // 2 >= left:
                group //= 2
            loops = {}
            done += group
        plans.append(plan(lane, place, group, {"column": across, "row": down, **loops},
                          source.row_bytes))
    return plans
