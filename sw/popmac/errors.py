"""The errors that popmac raises on purpose, in one tree."""

__all__ = ["PopmacError", "ModelFormatError", "UnsupportedModelError", "IncompatibleProgramError",
           "InputError", "DeviceError", "LinkError", "LinkTimeoutError", "ToolError"]


def _printable(text):
    """``text``, which may contain names from a file, on one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class PopmacError(Exception):
    """Whatever popmac refuses to do, with what to do about it."""


class ModelFormatError(PopmacError):
    """A file that is damaged, truncated, or not of the format that it claims to be.

    Parameters
    ----------
    message : str
        Names in it may come from the file: what cannot be printed is escaped.
    """

    def __init__(self, message):
        super().__init__(_printable(message))


class UnsupportedModelError(PopmacError):
    """A model with operators that no target of popmac can compute exactly.

    Parameters
    ----------
    problems : sequence of (operator, reason, remedy)
        One entry per offending operator, in the order of the model.
    """

    def __init__(self, problems):
        self.problems = tuple(problems)
        super().__init__("\n".join(_printable(f"{operator}: {reason}; {remedy}")
                                   for operator, reason, remedy in self.problems))


class IncompatibleProgramError(PopmacError):
    """A program that was compiled for another configuration or instruction set."""


class InputError(PopmacError, ValueError):
    """An input of the wrong name, shape, or type."""


class ToolError(PopmacError):
    """A program that popmac needs is missing or failed."""


class DeviceError(PopmacError):
    """The device refused a command, or is not the one that was expected."""


class LinkError(DeviceError):
    """The link to the device failed."""


class LinkTimeoutError(LinkError):
    """The device did not answer in time."""
