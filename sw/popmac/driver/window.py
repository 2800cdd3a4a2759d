"""The commands that a device has not answered yet."""

from dataclasses import dataclass, field

from ..protocol import COMMAND_HEADER, WINDOW, Command, Space, Status, frame_cost


__all__ = ["Frame", "Window"]


#: Place that is kept free for an ABORT, so that a run can be stopped whatever waits for its end.
_RESERVED_FRAMES = 1
_RESERVED_BYTES  = frame_cost(COMMAND_HEADER.pack(Command.ABORT, 0))

_SEQUENCES = 256


@dataclass(eq=False)
class Frame:
    """A command on its way, and its answer.

    Parameters
    ----------
    command : Command
    arguments : bytes
        All of the content behind the sequence number.
    space, address, length
        What a READ or WRITE is about.
    timeout : float
        Seconds that a WAIT may take.
    """
    command:   Command
    arguments: bytes = b""
    space:     Space = Space.ACTIVATION
    address:   int   = 0
    length:    int   = 0
    timeout:   float = 0.0

    #: How the command ended, or why there will be no answer; one of them, sooner or later.
    status:    Status    = field(default=None, init=False)
    error:     Exception = field(default=None, init=False)
    #: Content of the answer behind its header.
    reply:     bytes     = field(default=b"", init=False)
    sequence:  int       = field(default=None, init=False)
    #: When a WAIT that was put off has to end.
    deadline:  float     = field(default=None, init=False)
    #: When it was sent last, as a count of frames.
    sent:      int       = field(default=0, init=False)
    #: What the link carried for it: repetitions, and its answer.
    bytes_sent:     int  = field(default=0, init=False)
    bytes_received: int  = field(default=0, init=False)

    @property
    def content(self):
        """Content of the frame."""
        return COMMAND_HEADER.pack(self.command, self.sequence) + self.arguments

    @property
    def cost(self):
        """Bytes of receive buffer that it may take."""
        return frame_cost(self.arguments) + COMMAND_HEADER.size

    def __str__(self):
        if self.command in (Command.READ, Command.WRITE):
            return (f"{self.command.name} of {self.length} bytes at {self.address:#x} of "
                    f"{self.space.name}")
        if self.command == Command.RUN:
            return f"RUN of layers {self.arguments[0]} to {self.arguments[1]}"
        return self.command.name


class Window:
    """Decides what may be sent, and what has to be sent again.

    Frames are answered in the order in which they are sent. So when one is answered, all that
    were sent before it and are not answered have lost their answers on the way.

    Parameters
    ----------
    receive_bytes : int
        Size of the device's receive buffer.
    first : int
        Sequence number of the first frame.
    """

    def __init__(self, *, receive_bytes, first):
        self.receive_bytes = receive_bytes
        self.frames = []
        self._next = first
        self._sent = 0

    def admits(self, frame):
        """Whether the frame may be sent now."""
        urgent = frame.command == Command.ABORT
        if len(self.frames) + (not urgent) * _RESERVED_FRAMES >= WINDOW:
            return False
        used = sum(f.cost for f in self.frames) + (not urgent) * _RESERVED_BYTES
        return used + frame.cost <= self.receive_bytes and not self._endangers(frame)

    def _endangers(self, frame):
        """Whether an unanswered frame that is sent again might do harm after this one."""
        if any(f.command in (Command.HELLO, Command.ABORT) for f in self.frames):
            return True # they interrupt what is in front of them each time they come
        if frame.command == Command.RUN:
            return any(f.command in (Command.READ, Command.WAIT) for f in self.frames)
        if frame.command == Command.WRITE:
            return any(f.command == Command.READ and f.space == frame.space
                       and f.address < frame.address + frame.length
                       and frame.address < f.address + f.length for f in self.frames)
        return False

    def add(self, frame):
        """Append a new frame, and return its content."""
        frame.sequence = self._next
        self._next = (self._next + 1) % _SEQUENCES
        self.frames.append(frame)
        return self.send(frame)

    def send(self, frame):
        """Note that a frame is sent, and return its content."""
        self._sent += 1
        frame.sent = self._sent
        return frame.content

    def find(self, sequence):
        """Unanswered frame with this sequence number, or ``None``."""
        return next((f for f in self.frames if f.sequence == sequence), None)

    def answer(self, frame):
        """Remove a frame that was answered, and return those whose answers are lost."""
        self.frames.remove(frame)
        return [f for f in self.frames if f.sent < frame.sent]
