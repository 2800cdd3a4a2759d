import pytest

from popmac.protocol import REPLY_HEADER, REPORT
from popmac_gateware.link.replier import Replier
from popmac_sim.stimulus import random_bytes, stalls, stream_drain, stream_feed
from popmac_sim.testbench import stream_monitor


FIELDS = ["command", "sequence", "status", "protocol", "active", "garbled", "repeated", "session",
          "cycles"]


@pytest.mark.parametrize("stall", [0, 0.5])
def test_sends_header_report_and_data(rng, simulate, stall):
    dut     = Replier()
    replies = []
    for _ in range(60):
        values = dict(zip(FIELDS, [*rng.integers(256, size=7).tolist(),
                                   *rng.integers(2**32, size=2).tolist()]))
        kind   = rng.choice(["bare", "report", "data", "empty"])
        data   = random_bytes(rng, 20 if kind == "data" else 0)
        replies.append(({**values, "has_report": kind == "report",
                         "has_data": kind in ("data", "empty")}, data))
    expected = []
    for reply, data in replies:
        values  = [reply[name] for name in FIELDS]
        content = REPLY_HEADER.pack(*values[:3])
        if reply["has_report"]:
            content += REPORT.pack(*values[3:])
        expected += [*((byte, 0) for byte in content + data), (None, 1)]
    items = [item for reply, data in replies if reply["has_data"] for item in
             [*({"data": byte, "end": 0} for byte in data), {"data": 0, "end": 1}]]
    pauses = [stalls(rng, stall) for _ in range(3)]
    sent   = []

    async def command(ctx):
        await stream_feed(ctx, dut.i, [reply for reply, _ in replies], pauses[0])

    async def feed(ctx):
        await stream_feed(ctx, dut.data, items, pauses[1])

    async def drain(ctx):
        sent.extend(await stream_drain(ctx, dut.o, len(expected), pauses[2]))

    simulate(dut, command, feed, drain, monitors=[stream_monitor(dut.o, "o")])
    assert [(None if item.end else item.data, item.end) for item in sent] == expected
