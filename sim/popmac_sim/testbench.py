"""Helpers for testbenches that run on Amaranth's own simulator."""

from amaranth.sim import Simulator


__all__ = ["simulate", "stream_put", "stream_get", "stream_monitor"]


CLOCK_PERIOD = 1e-6


def simulate(dut, *testbenches, monitors=(), max_cycles=10_000, vcd_file=None):
    """Run all ``testbenches`` to completion, or fail after ``max_cycles``.

    The limit is what turns a handshake that never happens into a failing test; without it
    :meth:`Simulator.run` would never return.
    """
    async def watchdog(ctx):
        await ctx.delay(max_cycles * CLOCK_PERIOD)
        raise TimeoutError(f"testbenches are still running after {max_cycles} cycles")

    sim = Simulator(dut)
    sim.add_clock(CLOCK_PERIOD, if_exists=True)
    for testbench in testbenches:
        sim.add_testbench(testbench)
    for monitor in (*monitors, watchdog):
        sim.add_testbench(monitor, background=True)
    if vcd_file is None:
        sim.run()
    else:
        with sim.write_vcd(vcd_file):
            sim.run()


async def stream_put(ctx, stream, payload):
    """Offer ``payload`` until it is accepted."""
    ctx.set(stream.payload, payload)
    ctx.set(stream.valid, 1)
    await ctx.tick().until(stream.ready)
    ctx.set(stream.valid, 0)


async def stream_get(ctx, stream):
    """Accept and return the next payload."""
    ctx.set(stream.ready, 1)
    payload, = await ctx.tick().sample(stream.payload).until(stream.valid)
    ctx.set(stream.ready, 0)
    return payload


def stream_monitor(stream, name):
    """Background testbench that fails if an offered payload is withdrawn or changed."""
    async def monitor(ctx):
        offered = None
        async for _, rst, valid, ready, payload in \
                ctx.tick().sample(stream.valid, stream.ready, stream.payload):
            if offered is not None and not rst:
                assert valid, f"{name}: valid was deasserted before the transfer"
                assert payload == offered, f"{name}: {offered} became {payload} before the transfer"
            offered = payload if valid and not ready else None
    return monitor
