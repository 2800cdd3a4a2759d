from dataclasses import replace

from popmac.arch import target
from popmac_gateware.program_memory import ProgramMemory
from popmac_sim.testbench import simulate, stream_monitor


ARCH = replace(target("tiny"), program_rows=48)


def test_clients_share_it(rng):
    readers, writers, count = 3, 2, 80
    dut     = ProgramMemory(ARCH, readers=readers, writers=writers)
    rows    = {row: int.from_bytes(rng.bytes(36), "little") for row in range(ARCH.program_rows)}
    replies = {client: [] for client in range(readers)}
    asked   = {client: [] for client in range(readers)}
    written = []

    def writer(client):
        async def testbench(ctx):
            port = dut.writes[client]
            for row in range(client, ARCH.program_rows, writers):
                while rng.random() < 0.3:
                    await ctx.tick()
                ctx.set(port.payload, {"row": row, "data": rows[row]})
                ctx.set(port.valid, 1)
                await ctx.tick().until(port.ready)
                ctx.set(port.valid, 0)
            written.append(client)
        return testbench

    def reader(client):
        async def testbench(ctx):
            port = dut.requests[client]
            while len(written) < writers:
                await ctx.tick()
            await ctx.tick().repeat(2)
            for _ in range(count):
                while rng.random() < 0.4:
                    await ctx.tick()
                row = int(rng.integers(ARCH.program_rows))
                ctx.set(port.payload, row)
                ctx.set(port.valid, 1)
                await ctx.tick().until(port.ready)
                ctx.set(port.valid, 0)
                asked[client].append(row)
            await ctx.tick().repeat(dut.LATENCY)
        return testbench

    async def collect(ctx):
        async for _, _, reply in ctx.tick().sample(dut.reply):
            assert reply.valid in (0, 1, 2, 4)
            if reply.valid:
                replies[reply.valid.bit_length() - 1].append(reply.data)

    simulate(dut, *map(writer, range(writers)), *map(reader, range(readers)), monitors=[
        collect, *(stream_monitor(dut.requests[i], f"request {i}") for i in range(readers))])

    for client in range(readers):
        assert replies[client] == [rows[row] for row in asked[client]]
        assert len(replies[client]) == count
