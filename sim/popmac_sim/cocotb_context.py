"""Testbenches that are written for Amaranth's simulator, run on Verilog by cocotb.

Imported inside of the simulator. A testbench gets a :class:`Context` in the place of
Amaranth's, whose methods mean the same.
"""

import cocotb
from amaranth.hdl import Const, Shape, ShapeCastable, Signal, Value
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout


__all__ = ["Context", "run_testbenches"]


_PERIOD = 10 # ns


class Context:
    """Ports of the module ``dut`` by the signals of the component that it was made from.

    Inputs change at the falling edge of the clock; what is sampled is sampled at the rising edge.

    Parameters
    ----------
    dut : handle
        Module whose ports are named as the component's signals.
    """

    def __init__(self, dut):
        self._dut   = dut
        self._ports = {}

    def set(self, target, value):
        """Drive an input, or a part of one."""
        if isinstance(target.shape(), ShapeCastable):
            value = Const.cast(target.shape().const(value)).value
        whole, start, width = _place(Value.cast(target))
        mask = (1 << width) - 1 << start
        rest = self._driven(whole) & ~mask
        self._ports[whole.name] = rest | int(value) << start & mask
        getattr(self._dut, whole.name).value = self._ports[whole.name]

    def get(self, target):
        """Value of a port, a part of one, or the inverse of either; ``None`` if it is unknown."""
        value, inverted = Value.cast(target), False
        if getattr(value, "operator", None) == "~":
            (value,), inverted = value.operands, True
        whole, start, width = _place(value)
        port = str(getattr(self._dut, whole.name).value)
        text = port[len(port) - start - width:len(port) - start]
        if set(text) - {"0", "1"}:
            return None
        bits = int(text, 2)
        bits = (~bits if inverted else bits) & (1 << width) - 1
        if inverted:
            return bits
        shape = target.shape()
        if isinstance(shape, ShapeCastable):
            return shape.from_bits(bits)
        return bits - (1 << width) if Shape.cast(shape).signed and bits >> width - 1 else bits

    def tick(self):
        """Something to wait for: the next rising edge."""
        return _Tick(self)

    async def cycle(self, sampled):
        """Wait for the next rising edge, and return what was ``sampled`` there."""
        await RisingEdge(self._dut.clk)
        values = [self.get(value) for value in sampled]
        await FallingEdge(self._dut.clk)
        return values

    def _driven(self, signal):
        return self._ports.get(signal.name, 0)


class _Tick:
    """As ``amaranth.sim.TickTrigger``."""

    def __init__(self, context, sampled=()):
        self._context, self._sampled = context, sampled

    def sample(self, *values):
        return _Tick(self._context, (*self._sampled, *values))

    async def until(self, condition):
        while True:
            *values, found = await self._context.cycle((*self._sampled, condition))
            if found:
                return tuple(values)

    async def repeat(self, count):
        values = []
        for _ in range(count):
            values = await self._context.cycle(self._sampled)
        return tuple(values)

    def __await__(self):
        values = yield from self._context.cycle(self._sampled).__await__()
        return True, False, *values

    async def __aiter__(self):
        while True:
            yield await self


def _place(value):
    """Signal that a value is a part of, first bit, and number of bits."""
    start, width = 0, len(value)
    while not isinstance(value, Signal):
        if getattr(value, "operator", None) in ("s", "u"): # the same bits
            value, = value.operands
        else: # a slice
            start += value.start
            value  = value.value
    return value, start, width


async def run_testbenches(dut, inputs, testbenches, *, monitors=(), max_cycles):
    """Reset the module, then run all ``testbenches`` to completion; see :func:`.simulate`.

    Parameters
    ----------
    dut : handle
    inputs : iterable of str
        Names of the ports to drive with 0 until a testbench does otherwise.
    """
    for name in inputs:
        getattr(dut, name).value = 0
    context = Context(dut)
    if hasattr(dut, "clk"):
        Clock(dut.clk, _PERIOD, unit="ns").start(start_high=False)
        dut.rst.value = 1
        await context.tick()
        dut.rst.value = 0
    background = [cocotb.start_soon(monitor(context)) for monitor in monitors]
    tasks      = [cocotb.start_soon(testbench(context)) for testbench in testbenches]
    for task in tasks:
        await with_timeout(task, max_cycles * _PERIOD, "ns")
    for task in background:
        assert not task.done(), "a monitor has ended"
        task.cancel()
