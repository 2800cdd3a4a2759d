"""From a configuration to a bitstream."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import amaranth
import amaranth_boards

import popmac.arch
import popmac.isa
import popmac.protocol
import popmac_gateware
from popmac.errors import ToolError

from ..boards.board import Board
from ..boards.clock import check_clock
from ..boards.platforms import BOARDS
from .constants import fold_zeros
from .devices import DEVICES
from .families import family
from .floorplan import floorplan
from .picture import write_picture
from .report import clock_mhz, critical_paths, late_registers, resources
from .screens import screens
from .stages import Stage


__all__ = ["build"]


#: Seconds that a program may take.
_LIMIT = 3 * 3600

# What a design is made of: all of this, and its configuration.
_SOURCES = [Path(popmac_gateware.__file__).parent,
            *(Path(module.__file__) for module in (popmac.arch, popmac.isa, popmac.protocol))]


def build(arch, folder, *, tools, seeds=1, progress=lambda stage: None):
    """Build the bitstream of a target.

    Parameters
    ----------
    arch : :class:`ArchConfig`
        Its name decides on the board.
    folder : path-like
        Receives the bitstream, ``manifest.json``, ``placement.svg``, a log per stage, and
        whatever is needed to skip the stages whose inputs have not changed.
    tools : :class:`Tools`
    seeds : int
        Number of placements to try, as many at once as there are processors; the one with the
        fastest clock is taken.
    progress : callable
        Called with each stage before and after it: ``skipped`` and ``seconds`` are then known.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    ToolError
        If a program fails, or the target has no board.
    """
    if arch.name not in BOARDS:
        raise ToolError(f"there is no board for {arch.name!r}; there are {', '.join(BOARDS)}")
    platform = BOARDS[arch.name].platform()
    try:
        check_clock(platform, arch.clock_hz)
    except ValueError as error:
        raise ToolError(str(error)) from None
    device   = DEVICES[platform.device]
    chips    = family(platform)
    folder   = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sources  = arch.to_json() + _sources() # as they are now
    stages   = []

    def run(name, action, *, inputs=(), outputs=(), parameters=""):
        stage = Stage(name, folder, inputs=inputs, outputs=outputs, parameters=parameters)
        stages.append(stage)
        progress(stage)
        stage.run(action)
        progress(stage)

    def call(program, *arguments, log):
        return tools.run(program, *arguments, folder=folder, log=folder / log, limit=_LIMIT)

    def elaborate():
        plan = platform.prepare(Board(arch), "top")
        for name in ("top.il", chips.constraints):
            content = plan.files[name]
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def place_blocks():
        netlist = json.loads((folder / "netlist.json").read_text())
        cells   = netlist["modules"]["top"]["cells"]
        places  = floorplan({name: cell["type"] for name, cell in cells.items()}, arch, device)
        for name, site in places.items():
            cells[name]["attributes"]["BEL"] = site
        fold_zeros(cells)
        cells.update(screens(places, arch, device))
        (folder / "floorplan.json").write_text(json.dumps(netlist))

    run("elaborate", elaborate, outputs=["top.il", chips.constraints],
        parameters=sources)
    script = chips.synthesis.format(top="top") + "write_json netlist.json"
    run("synthesis", lambda: call("yosys", "-p", script, log="synthesis.log"),
        inputs=["top.il"], outputs=["netlist.json"], parameters=script + tools.version("yosys"))
    netlist = "netlist.json"
    if chips.has_floorplan:
        run("floorplan", place_blocks, inputs=[netlist], outputs=["floorplan.json"],
            parameters=sources)
        netlist = "floorplan.json"

    options = [f"--{device.option}", *chips.options(platform, netlist)]
    option, kind = chips.configuration

    def place_and_route(seed):
        outputs = [f"seed_{seed}.{ending}" for ending in (kind, "report.json", "placed.json")]
        run(f"seed_{seed}", lambda: call(
                chips.router, *options, "--seed", str(seed), option, outputs[0],
                "--report", outputs[1], "--write", outputs[2], log=f"seed_{seed}.log"),
            inputs=[netlist, chips.constraints], outputs=outputs,
            parameters=" ".join([*options, tools.version(chips.router)]))
        return json.loads((folder / outputs[1]).read_text())

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        reports = dict(enumerate(pool.map(place_and_route, range(1, seeds + 1)), 1))
    seed   = max(reports, key=lambda seed: clock_mhz(reports[seed]))
    report = reports[seed]

    run("pack", lambda: call(chips.packer, f"seed_{seed}.{kind}", chips.bitstream, *chips.packing,
                             log="pack.log"),
        inputs=[f"seed_{seed}.{kind}"], outputs=[chips.bitstream],
        parameters=tools.version(chips.packer))
    run("picture", lambda: write_picture(folder / f"seed_{seed}.placed.json",
                                         folder / "placement.svg"),
        inputs=[f"seed_{seed}.placed.json"], outputs=["placement.svg"], parameters=sources)

    clock    = clock_mhz(report)
    manifest = {
        "target":      arch.name,
        "arch":        json.loads(arch.to_json()),
        "fingerprint": f"{arch.fingerprint(popmac.isa.ISA_VERSION):08x}",
        "device":      f"{platform.device}-{getattr(platform, 'speed', '')}{platform.package}",
        "tools":       [f"amaranth {amaranth.__version__}",
                        *(tools.version(name) for name in ("yosys", chips.router))],
        **resources(report, chips, folder / "netlist.json"),
        "available":   device.available,
        "clock_mhz":   clock,
        "target_mhz":  arch.clock_hz / 1e6,
        "timing_met":  clock >= arch.clock_hz / 1e6,
        "seed":        seed,
        "clocks":      {n: clock_mhz(r) for n, r in reports.items()},
        "paths":       critical_paths(report),
        "late":        late_registers(report),
        "seconds":     {stage.name: round(stage.seconds, 1) for stage in stages},
        "memory":      max(stage.memory for stage in stages),
        "bitstream":   str(folder / chips.bitstream),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def _sources():
    """Text that changes with the sources of the gateware."""
    files = [file for source in _SOURCES
             for file in (sorted(source.rglob("*.py")) if source.is_dir() else [source])]
    return "".join(file.read_text() for file in files) \
        + amaranth.__version__ + amaranth_boards.__version__
