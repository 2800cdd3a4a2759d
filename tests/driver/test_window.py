from popmac.driver.window import Frame, Window
from popmac.protocol import TRANSFER, WINDOW, Command, Space


def window(receive_bytes=10_000, first=250):
    return Window(receive_bytes=receive_bytes, first=first)


def transfer(command, address, length, space=Space.ACTIVATION):
    data = bytes(length) if command == Command.WRITE else b""
    return Frame(command, TRANSFER.pack(space, address, length) + data, space, address, length)


def test_sequence_numbers_follow_each_other():
    w = window()
    frames = [Frame(Command.STATUS) for _ in range(10)]
    assert [w.add(frame)[1] for frame in frames] == [250, 251, 252, 253, 254, 255, 0, 1, 2, 3]
    assert w.find(255) is frames[5] and w.find(4) is None


def test_no_more_frames_than_the_device_remembers():
    w = window()
    for _ in range(WINDOW - 1):
        assert w.admits(Frame(Command.STATUS))
        w.add(Frame(Command.STATUS))
    # The last place is kept for what stops the others.
    assert not w.admits(Frame(Command.STATUS))
    assert w.admits(Frame(Command.ABORT))
    w.add(Frame(Command.ABORT))
    assert not w.admits(Frame(Command.ABORT))


def test_no_more_bytes_than_the_device_has_room_for():
    w, frame = window(receive_bytes=256), transfer(Command.WRITE, 0, 100)
    assert frame.cost == 2 + 7 + 100 + 4 + 1 == 114
    w.add(frame)
    w.add(transfer(Command.WRITE, 0, 100))
    assert not w.admits(transfer(Command.WRITE, 0, 8))
    # 28 bytes are left, 7 of them for an ABORT.
    assert w.admits(transfer(Command.WRITE, 0, 7))
    w.add(transfer(Command.WRITE, 0, 7))
    assert not w.admits(Frame(Command.STATUS)) and w.admits(Frame(Command.ABORT))


def test_what_a_repetition_would_change_waits():
    w = window()
    w.add(transfer(Command.READ, 100, 50))
    assert not w.admits(transfer(Command.WRITE, 149, 1))
    assert not w.admits(transfer(Command.WRITE, 99, 2))
    assert w.admits(transfer(Command.WRITE, 150, 10))
    assert w.admits(transfer(Command.WRITE, 90, 10))
    assert w.admits(transfer(Command.WRITE, 100, 50, Space.PROGRAM))
    assert not w.admits(Frame(Command.RUN, b"\0\0"))
    w.answer(w.frames[0])
    assert w.admits(Frame(Command.RUN, b"\0\0"))
    w.add(Frame(Command.WAIT))
    assert not w.admits(Frame(Command.RUN, b"\0\0"))


def test_nothing_follows_what_interrupts_before_it_is_answered():
    for command in (Command.HELLO, Command.ABORT):
        w = window()
        w.add(Frame(command))
        assert not w.admits(Frame(Command.STATUS))
        w.answer(w.frames[0])
        assert w.admits(Frame(Command.STATUS))


def test_answers_that_were_overtaken_are_lost():
    w = window()
    a, b, c, d = frames = [Frame(Command.STATUS) for _ in range(4)]
    for frame in frames:
        w.add(frame)
    assert w.answer(c) == [a, b]
    w.send(a) # again: now behind d
    assert w.answer(d) == [b]
    assert w.answer(a) == [b]
    assert w.frames == [b]


def test_frames_say_what_they_are():
    assert str(transfer(Command.READ, 256, 16, Space.PROGRAM)) == \
        "READ of 16 bytes at 0x100 of PROGRAM"
    assert str(Frame(Command.RUN, b"\2\5")) == "RUN of layers 2 to 5"
    assert str(Frame(Command.WAIT)) == "WAIT"
