"""What host and device say to each other on the link; ``docs/protocol.md`` explains it.

The gateware, the driver and the software model of the device take every number from here.
"""

import enum
import struct

from . import isa


__all__ = ["PROTOCOL_VERSION", "FLAG", "ESCAPE", "ESCAPE_XOR", "FCS_BYTES", "DATA_BYTES", "WINDOW",
           "REPETITIONS", "REPLY", "Command", "Space", "Status", "COMMAND_HEADER", "REPLY_HEADER",
           "SESSION", "TRANSFER", "LAYERS", "REPORT", "IDENTITY", "RECORDING", "RECORDING_MAGIC",
           "RECORDING_ADDRESS", "RECORDING_LIMIT", "ALIGNMENT", "READABLE", "WRITABLE",
           "frame_cost", "identity", "space_bytes"]


#: Changes with every change that a client could notice.
PROTOCOL_VERSION = 1

FLAG       = 0x7e
ESCAPE     = 0x7d
ESCAPE_XOR = 0x20
FCS_BYTES  = 4

#: Bytes of data that one READ or WRITE may carry.
DATA_BYTES = 1024

#: Commands that may be unanswered; the device remembers as many statuses.
WINDOW     = 16

#: A command whose sequence number is 1 to this many behind the expected one is a repetition.
REPETITIONS = 128

#: Set in the command of a reply.
REPLY      = 0x80


class Command(enum.IntEnum):
    """First byte of a frame."""
    #: Start a session: stop the run, expect the sequence number after this one.
    HELLO  = 0
    #: Stop the run.
    ABORT  = 1
    #: Report at once.
    STATUS = 2
    #: Report when no run is active.
    WAIT   = 3
    #: Start a run of the layers from the first to the last one.
    RUN    = 4
    READ   = 5
    WRITE  = 6
    #: Only as a reply: the device is waiting for the command with this sequence number.
    NAK    = 0x7f


class Space(enum.IntEnum):
    """What an address is an address of."""
    ACTIVATION = 0
    #: The tables of functions lie behind the weights.
    WEIGHT     = 1
    PROGRAM    = 2
    #: Versions and configuration, read only.
    IDENTITY   = 3


class Status(enum.IntEnum):
    """How a command ended, or why it was not executed."""
    OK         = 0
    #: The device does not know the command.
    UNKNOWN    = 1
    #: The frame is longer or shorter than its command says.
    MALFORMED  = 2
    #: The space cannot be read, or cannot be written.
    ACCESS     = 3
    #: Address, length or layers are out of range.
    RANGE      = 4
    #: Address or length is not a multiple of the space's alignment.
    ALIGNMENT  = 5
    #: A run is active.
    BUSY       = 6
    #: Not executed, or given up, because of a later ABORT or HELLO.
    ABORTED    = 7
    #: The core did not react in time.
    FAULT      = 8
    #: (NAK) A frame was received with a wrong frame check sequence, or did not fit.
    GARBLED    = 9
    #: (NAK) A command was received ahead of its turn.
    GAP        = 10
    #: (NAK) The device has not been greeted since it was switched on.
    NO_SESSION = 11


#: Begins the content of each frame to the device: command, sequence number.
COMMAND_HEADER = struct.Struct("<BB")
#: Begins the content of each frame from the device: command | REPLY, sequence number, status.
REPLY_HEADER   = struct.Struct("<BBB")
#: HELLO: a number that tells this session from the one before.
SESSION        = struct.Struct("<I")
#: READ and WRITE: space, address, length.
TRANSFER       = struct.Struct("<BIH")
#: RUN: first and last layer.
LAYERS         = struct.Struct("<BB")
#: Reply to HELLO, STATUS and WAIT: protocol version; a run is active; frames garbled and commands
#: repeated since the session began, modulo 256; number of the session; cycles of the last run.
REPORT         = struct.Struct("<BBBBII")
#: Begins IDENTITY space: bytes of JSON that follow, instruction set version, fingerprint.
IDENTITY       = struct.Struct("<HHI")

#: Begins a recording in the flash of a board: magic, fingerprint, bytes that follow; these are what
#: a host would send.
RECORDING         = struct.Struct("<4sII")
RECORDING_MAGIC   = b"PMAC"
#: Behind the bitstream; and what a flash of 16 MiB has left there.
RECORDING_ADDRESS = 0x200000
RECORDING_LIMIT   = 2**24 - RECORDING_ADDRESS - RECORDING.size

#: Address and length of a transfer are multiples of this.
ALIGNMENT = {Space.ACTIVATION: 1, Space.WEIGHT: 2, Space.PROGRAM: isa.ROW_BYTES, Space.IDENTITY: 1}
READABLE  = {Space.ACTIVATION, Space.PROGRAM, Space.IDENTITY}
WRITABLE  = {Space.ACTIVATION, Space.WEIGHT, Space.PROGRAM}


def frame_cost(content):
    """Bytes of receive buffer that a frame with this content may take, until it is answered."""
    return len(content) + FCS_BYTES + 1


def identity(arch):
    """Contents of IDENTITY space: versions, and the configuration as JSON."""
    text = arch.to_json().encode()
    return IDENTITY.pack(len(text), isa.ISA_VERSION, arch.fingerprint(isa.ISA_VERSION)) + text


def space_bytes(arch):
    """Size of each space."""
    return {
        Space.ACTIVATION: arch.activation_bytes,
        Space.WEIGHT:     arch.weight_space_bytes,
        Space.PROGRAM:    arch.program_rows * isa.ROW_BYTES,
        Space.IDENTITY:   len(identity(arch)),
    }
