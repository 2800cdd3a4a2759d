"""Sums of products that leave the device whole, eight bits in each run."""

from dataclasses import replace

import numpy as np

from ...arch import ACCUMULATOR_BITS
from ..requantize import FitError
from .thresholds import LayerSums


__all__ = ["lower_sums"]


def lower_sums(graph, node, storages, arch):
    """Layers of a ``SumFullyConnected`` node, for one vector.

    The parameters are for a shift of 0 and a sum of 0; the driver derives those of each run, see
    :mod:`popmac.driver.sums`.
    """
    sums = LayerSums(graph, node, storages, arch)
    most = int(max(sums.high.max(), -sums.low.min() - 1, 1))
    bits = most.bit_length() + 1
    if bits > ACCUMULATOR_BITS:
        raise FitError([int(np.argmax(sums.high))], f"its sums have {bits} bits, and the "
                       f"accumulators {ACCUMULATOR_BITS}")
    zeros   = np.zeros(len(sums.low), np.int64)
    fields  = {"multiplier": zeros + 1, "shift": zeros, "bias": zeros, "offset_positive": zeros,
               "offset_negative": zeros}
    vectors = int(np.prod(graph.tensors[node.output].shape[:-1]))
    runs    = vectors * -(-bits // 8)
    return [replace(plan, sum_bits=bits, runs=runs, macs=vectors * plan.macs)
            for plan in sums.plans(fields, -128, 127)]
