from popmac.protocol import REPETITIONS, WINDOW, Status
from popmac_gateware.link.session import Session, Turn


class SessionModel:
    """What :class:`Session` remembers."""

    def __init__(self):
        self.greeted, self.current, self.expected = False, 0, 0
        self.garbled = self.repeated = self.silent = 0
        self.statuses = [0] * WINDOW

    def turn(self, hello, number, sequence):
        behind = (self.expected - sequence) % 256
        if hello:
            return Turn.REPEATED if self.greeted and number == self.current else Turn.NEW
        if not self.greeted:
            return Turn.STRANGER
        return Turn.NEW if behind == 0 else Turn.REPEATED if behind <= REPETITIONS else Turn.AHEAD

    def answer(self, turn, hello, number, sequence, status):
        if turn == Turn.REPEATED:
            self.repeated = (self.repeated + 1) % 256
            return
        self.statuses[sequence % WINDOW] = status
        self.expected, self.silent = (sequence + 1) % 256, 0
        if hello and status == Status.OK:
            self.greeted, self.current, self.garbled, self.repeated = True, number, 0, 0

    def refuse(self, status):
        self.silent = 1
        self.garbled = (self.garbled + (status == Status.GARBLED)) % 256


def test_matches_model(rng, simulate):
    dut    = Session()
    model  = SessionModel()
    counts = dict.fromkeys(Turn, 0)

    async def testbench(ctx):
        for step in range(1500):
            hello    = int(rng.random() < (0.01 if step > 20 else 0.1))
            number   = int(rng.choice([model.current, *rng.integers(2**32, size=2)]))
            distance = rng.choice([0, 0, 0, -1, -2, 1, -REPETITIONS, -REPETITIONS - 1,
                                   rng.integers(256)])
            sequence = (model.expected + int(distance)) % 256
            status   = int(rng.choice([Status.OK, Status.OK, *Status]))
            for port, value in [(dut.hello, hello), (dut.number, number),
                                (dut.sequence, sequence), (dut.status, status)]:
                ctx.set(port, value)
            await ctx.tick().repeat(dut.LATENCY)

            turn = model.turn(hello, number, sequence)
            counts[turn] += 1
            action = dut.refused
            if turn in (Turn.NEW, Turn.REPEATED) and rng.random() < 0.9:
                action = dut.answered
            ctx.set(action, 1)
            _, _, actual, recorded, *state = await ctx.tick().sample(
                dut.turn, dut.recorded, dut.silent, dut.expected, dut.current, dut.garbled,
                dut.repeated)
            ctx.set(action, 0)
            assert Turn(actual) == turn
            assert recorded == model.statuses[sequence % WINDOW]
            assert state == [model.silent, model.expected, model.current, model.garbled,
                             model.repeated]
            if action is dut.answered:
                model.answer(turn, hello, number, sequence, status)
            else:
                model.refuse(status)

    simulate(dut, testbench, max_cycles=20_000)
    assert all(count > 20 for turn, count in counts.items() if turn != Turn.STRANGER)
    assert counts[Turn.STRANGER] > 0
