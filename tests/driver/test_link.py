"""The driver's link against the device's end in software, and against what is no device."""

import os
import threading

import pytest
from faulty_transport import FaultyTransport
from link_commands import random_commands
from link_core import ARCH, RUN_BYTES, CountingCore

from popmac.driver.device import Device
from popmac.driver.endpoint import SoftwareEndpoint
from popmac.driver.framing import Decoder, encode
from popmac.driver.link import Link
from popmac.errors import DeviceError, LinkError, LinkTimeoutError
from popmac.protocol import (
    DATA_BYTES,
    IDENTITY,
    REPLY,
    REPLY_HEADER,
    REPORT,
    Command,
    Space,
    Status,
)


@pytest.fixture(autouse=True)
def reproducible_sessions(rng, monkeypatch):
    monkeypatch.setattr(os, "urandom", rng.bytes)


def endpoint():
    return SoftwareEndpoint(ARCH, CountingCore())


class Strange:
    """Transport to something that answers each frame as it likes."""

    def __init__(self, answer):
        self._answer  = answer
        self._decoder = Decoder()
        self._replies = b""
        self._time    = 0.0
        self.closed   = False

    def write(self, data):
        for content in self._decoder.feed(data):
            self._replies += self._answer(content)

    def read(self, length, *, timeout):
        if not self._replies:
            self._time += timeout
        reply, self._replies = self._replies[:length], self._replies[length:]
        return reply

    def time(self):
        return self._time

    def close(self):
        self.closed = True


@pytest.mark.parametrize("rate", [0, 1e-3, 1e-2])
def test_everything_is_executed_once(rng, rate):
    core      = CountingCore()
    transport = FaultyTransport(SoftwareEndpoint(ARCH, core), rng, rate=rate)
    link      = Link(transport, timeout=0.02, retries=50, frame_bytes=100)
    assert link.hello().arch == ARCH
    random_commands(rng, link, CountingCore(), 400)
    errors = sum(transport.faults[kind] for kind in ("flip", "drop", "insert", "repeat", "reorder"))
    assert (errors > 20) == (rate > 0)
    assert link.status().repeated > 0 or rate == 0


@pytest.mark.parametrize("length", [0, 1, 100, DATA_BYTES, 4096])
def test_any_length_in_any_frames(rng, length):
    for frame_bytes in (36, 100, DATA_BYTES):
        link = Link(endpoint(), frame_bytes=frame_bytes)
        link.hello()
        data = rng.bytes(length)
        link.write(Space.ACTIVATION, 0, data)
        assert link.read(Space.ACTIVATION, 0, length) == data


@pytest.mark.parametrize("frame_bytes", [0, 35, DATA_BYTES + 1])
def test_bad_frame_bytes_are_rejected(frame_bytes):
    with pytest.raises(ValueError, match="frame_bytes must be between 36 and 1024"):
        Link(endpoint(), frame_bytes=frame_bytes)


@pytest.mark.parametrize("command, message", [
    (lambda link: link.write(Space.IDENTITY, 0, b"x"),
        "WRITE of 1 bytes at 0x0 of IDENTITY: the device answered ACCESS instead of OK"),
    (lambda link: link.read(Space.WEIGHT, 0, 2),
        "READ of 2 bytes at 0x0 of WEIGHT: the device answered ACCESS instead of OK"),
    (lambda link: link.read(Space.ACTIVATION, 4090, 10),
        "READ of 10 bytes at 0xffa of ACTIVATION: the device answered RANGE instead of OK"),
    (lambda link: link.write(Space.WEIGHT, 1, b"xx"),
        "WRITE of 2 bytes at 0x1 of WEIGHT: the device answered ALIGNMENT instead of OK"),
    (lambda link: link.run(3, 2),
        "RUN of layers 3 to 2: the device answered RANGE instead of OK"),
])
def test_what_the_device_refuses_says_so_and_the_rest_goes_on(command, message):
    link = Link(endpoint())
    link.hello()
    with pytest.raises(DeviceError, match=f"^{message}$"):
        command(link)
    link.write(Space.ACTIVATION, 0, b"abc")
    assert link.read(Space.ACTIVATION, 0, 3) == b"abc"


def test_silence():
    transport = Strange(lambda content: b"")
    with pytest.raises(LinkTimeoutError, match=r"^HELLO: no answer within 0.1 s, 4 times$"):
        Device(Link(transport, timeout=0.1, retries=3))
    assert transport.time() == pytest.approx(0.4)
    assert transport.closed


def test_noise():
    transport = Strange(lambda content: encode(b"noise")[:-3] + b"\x7e")
    with pytest.raises(LinkError, match=r"^HELLO: (no answer|garbled answers)"):
        Device(Link(transport, timeout=0.1, retries=3))
    assert transport.time() < 1


def answers(change):
    """A device whose answer to HELLO is changed."""
    device = endpoint()

    def answer(content):
        device.write(encode(content))
        reply, = Decoder().feed(device.read(2**16, timeout=0))
        if content[0] == Command.HELLO:
            reply = reply[:3] + REPORT.pack(*change(*REPORT.unpack(reply[3:])))
        return encode(reply)

    return answer


def test_another_version_of_the_protocol():
    transport = Strange(answers(lambda version, *rest: (99, *rest)))
    with pytest.raises(DeviceError, match="speaks version 99 of the protocol, and this driver "
                                          "version 1"):
        Device(Link(transport))
    assert transport.closed


def test_an_answer_to_somebody_else():
    transport = Strange(answers(lambda *report: (*report[:4], report[4] ^ 1, report[5])))
    with pytest.raises(LinkError, match="answered to another HELLO"):
        Device(Link(transport))


def test_a_configuration_that_makes_no_sense():
    device = endpoint()

    def answer(content):
        device.write(encode(content))
        reply, = Decoder().feed(device.read(2**16, timeout=0))
        if content[0] == Command.READ and len(reply) > 3 + IDENTITY.size:
            reply = reply[:3] + b"?" * (len(reply) - 3)
        return encode(reply)

    with pytest.raises(DeviceError, match="configuration makes no sense"):
        Device(Link(Strange(answer)))


def test_an_answer_to_another_command_is_ignored():
    device = endpoint()

    def answer(content):
        device.write(encode(content))
        other = REPLY_HEADER.pack(Command.RUN | REPLY, content[1], Status.RANGE)
        return encode(other) + device.read(2**16, timeout=0)

    assert Link(Strange(answer)).hello().arch == ARCH


def test_an_unknown_status():
    def answer(content):
        return encode(REPLY_HEADER.pack(content[0] | REPLY, content[1], 77))

    with pytest.raises(LinkError, match="HELLO: the device answered with unknown status 77"):
        Device(Link(Strange(answer)))


def test_a_reset_device_says_so():
    device = [endpoint()]

    def answer(content):
        device[0].write(encode(content))
        return device[0].read(2**16, timeout=0)

    link = Link(Strange(answer))
    link.hello()
    device[0] = endpoint()
    with pytest.raises(LinkError, match="the device was reset, and knows of no session"):
        link.status()
    with pytest.raises(LinkError, match="the device was reset"): # and goes on to say so
        link.status()
    link.hello()
    assert link.status().active is False


def test_a_run_that_takes_too_long():
    device = endpoint()

    def answer(content):
        if content[0] == Command.WAIT:
            return encode(REPLY_HEADER.pack(Command.NAK | REPLY, content[1], Status.BUSY))
        device.write(encode(content))
        return device.read(2**16, timeout=0)

    transport = Strange(answer)
    link = Link(transport)
    link.hello()

    # Each answer takes some time.
    def slow_read(length, *, timeout, read=transport.read):
        transport._time += 0.05
        return read(length, timeout=timeout)

    transport.read = slow_read
    begin = transport.time()
    with pytest.raises(LinkTimeoutError, match=r"^the run has not ended within 2.0 s$"):
        link.wait(timeout=2.0)
    assert 2 <= transport.time() - begin < 2.5


def test_unplugged_in_the_middle(rng):
    transport = FaultyTransport(endpoint(), rng, rate=0, disconnect_after=1000)
    link = Link(transport)
    link.hello()
    writes = []
    with pytest.raises(LinkError, match="somebody pulled the plug"):
        for _ in range(100):
            writes.append(link.post_write(Space.ACTIVATION, 0, bytes(50)))
            writes[-1].result()
    with pytest.raises(LinkError, match="somebody pulled the plug"):
        link.read(Space.ACTIVATION, 0, 1)


def test_nothing_goes_before_hello_or_after_close():
    link = Link(endpoint())
    with pytest.raises(LinkError, match="no session yet"):
        link.status()
    link.hello()
    link.close()
    with pytest.raises(LinkError, match="the link is closed"):
        link.status()


def test_threads_share_a_link(rng):
    core, failures = CountingCore(), []
    link = Link(SoftwareEndpoint(ARCH, core))
    link.hello()
    blocks = {n: rng.bytes(200) for n in range(4)}

    def work(n):
        try:
            for _ in range(50):
                link.write(Space.ACTIVATION, RUN_BYTES + 200 * n, blocks[n])
                if link.read(Space.ACTIVATION, RUN_BYTES + 200 * n, 200) != blocks[n]:
                    failures.append(n)
                link.run(n, n)
                link.wait()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in blocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert core.runs == 200
