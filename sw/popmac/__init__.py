"""popmac: quantised neural networks on open FPGAs, bit-exact."""

from importlib import import_module


# Loaded when they are first asked for, so that each part works without the others' dependencies.
_HOMES = {
    "load":                     (".models", "load"),
    "compile":                  (".compiler", "compile_model"),
    "open":                     (".driver.urls", "open_device"),
    "quantize":                 (".quantize", "quantize"),
    "Program":                  (".program", "Program"),
    "PopmacError":              (".errors", "PopmacError"),
    "ModelFormatError":         (".errors", "ModelFormatError"),
    "UnsupportedModelError":    (".errors", "UnsupportedModelError"),
    "IncompatibleProgramError": (".errors", "IncompatibleProgramError"),
    "InputError":               (".errors", "InputError"),
    "ToolError":                (".errors", "ToolError"),
    "DeviceError":              (".errors", "DeviceError"),
    "LinkError":                (".errors", "LinkError"),
    "LinkTimeoutError":         (".errors", "LinkTimeoutError"),
}

__all__ = list(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module, __name__), attribute)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
