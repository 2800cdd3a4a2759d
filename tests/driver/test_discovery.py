from types import SimpleNamespace

import pytest

import popmac
from popmac.cli import main
from popmac.driver import discovery, urls


class Port(SimpleNamespace):
    """As pyserial describes a port."""

    def __lt__(self, other):
        return self.device < other.device


@pytest.fixture
def ports(monkeypatch):
    found = [
        Port(device="/dev/ttyUSB1", vid=0x0403, pid=0x6015, product="ULX3S FPGA 85K v3.0.8",
             serial_number="D00123"),
        Port(device="/dev/ttyUSB0", vid=0x0403, pid=0x6015, product="FT231X USB UART",
             serial_number="X"),
        Port(device="/dev/ttyUSB2", vid=0x0403, pid=0x6010, product="iCEBreaker V1.0e",
             serial_number=None),
        Port(device="/dev/ttyS0", vid=None, pid=None, product=None, serial_number=None),
    ]
    monkeypatch.setattr(discovery, "comports", lambda: found)


def test_boards_are_known_by_their_usb_identity(ports):
    assert [(board.port, board.board, board.description)
            for board in discovery.attached_boards()] == [
        ("/dev/ttyUSB1", "ULX3S", "ULX3S FPGA 85K v3.0.8, serial number D00123"),
        ("/dev/ttyUSB2", "iCEBreaker", "iCEBreaker V1.0e"),
    ]


def test_command(ports, capsys):
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert "serial:/dev/ttyUSB1" in out and "sim:ulx3s-85f" in out and "golden:tiny" in out


def test_command_without_boards(monkeypatch, capsys):
    monkeypatch.setattr(discovery, "comports", lambda: [])
    assert main(["devices"]) == 0
    assert "no board is attached" in capsys.readouterr().out


def test_the_only_board_needs_no_name(monkeypatch):
    opened = []
    monkeypatch.setattr(urls, "SerialTransport",
                        lambda path, *, baud: opened.append((path, baud)) or closed())
    monkeypatch.setattr(discovery, "comports", lambda: [
        Port(device="/dev/ttyUSB7", vid=0x0403, pid=0x6015, product="ULX3S FPGA 12K",
             serial_number="A")])
    with pytest.raises(popmac.LinkError, match="closed"):
        popmac.open("serial:?baud=115200")
    assert opened == [("/dev/ttyUSB7", 115200)]


def closed():
    raise popmac.LinkError("closed")


def test_no_name_of_several_boards(ports):
    with pytest.raises(popmac.PopmacError,
                       match="choose one: serial:/dev/ttyUSB1, serial:/dev/ttyUSB2"):
        popmac.open("serial:")


def test_no_name_without_boards(monkeypatch):
    monkeypatch.setattr(discovery, "comports", lambda: [])
    with pytest.raises(popmac.PopmacError, match="no board is attached; connect one"):
        popmac.open("serial:")
