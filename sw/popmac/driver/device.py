"""Devices: whatever is at the other end of a link."""

from .. import isa
from ..errors import IncompatibleProgramError
from ..program import Program
from ..protocol import Space
from .link import Link
from .session import Session


__all__ = ["Device"]


class Device:
    """An accelerator that answers.

    Parameters
    ----------
    link : Link
        Is closed with the device.

    Raises
    ------
    LinkError, DeviceError
        If nothing answers, or something that this version of popmac cannot talk to.

    Attributes
    ----------
    arch : ArchConfig
        Configuration that the device says it has.
    """

    def __init__(self, link: Link):
        self.link     = link
        self._session = None
        try:
            identity = link.hello()
        except BaseException:
            link.close()
            raise
        self.arch         = identity.arch
        self._isa_version = identity.isa_version
        self._fingerprint = identity.fingerprint

    def load(self, program):
        """Make ``program`` the one that the device runs.

        Parameters
        ----------
        program : Program, Graph, or path
            A model is compiled for the device.

        Returns
        -------
        Session

        Raises
        ------
        IncompatibleProgramError
            If the program was compiled for another configuration or instruction set.
        """
        if not isinstance(program, Program):
            from ..compiler import compile_model  # a device does without the compiler otherwise
            program = compile_model(program, self.arch)
        if self._isa_version != isa.ISA_VERSION:
            raise IncompatibleProgramError(
                f"the device has instruction set {self._isa_version}, but this version of popmac "
                f"has {isa.ISA_VERSION}: build the device again, or install the other version")
        if self._fingerprint != program.fingerprint:
            raise IncompatibleProgramError(
                f"the program is for configuration {program.fingerprint:08x} "
                f"({program.arch.name}), but the device has {self._fingerprint:08x} "
                f"({self.arch.name}): {program.arch.differences(self.arch) or 'no difference'}; "
                f"compile the model for {self.arch.name}")
        if self._session is not None:
            self._session.loaded = False
        self.link.write(Space.PROGRAM, 0, program.rows.tobytes())
        self._session = Session(self.link, program)
        return self._session

    def close(self):
        """Let go of the device."""
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
