"""What nextpnr found out about a routed design."""

import json
import re


__all__ = ["clock_mhz", "critical_paths", "late_registers", "resources"]


def resources(report, family, netlist):
    """Number of ``lut4``, ``ff``, ``ebr``, ``dsp`` and others that are used.

    Parameters
    ----------
    report : dict
        What nextpnr reports.
    family : :class:`Family`
    netlist : path-like
        What Yosys wrote.
    """
    with open(netlist) as file:
        cells = json.load(file)["modules"]["top"]["cells"]
    used = {name: sum(count for cell in cells.values() for kind, count in kinds.items()
                      if cell["type"].startswith(kind)) for name, kinds in family.counted.items()}
    return used | {name: report["utilization"][cells]["used"]
                   for name, cells in family.resources.items()}


def clock_mhz(report):
    """Routed frequency of the slowest clock, in MHz."""
    return round(min(clock["achieved"] for clock in report["fmax"].values()), 2)


def critical_paths(report):
    """The longest path of each clock: ``from``, ``to`` in the design's names, delays in ns."""
    paths = []
    for path in report["critical_paths"]:
        if path["from"] != path["to"]: # from one clock to another, or to a pin
            continue
        steps  = path["path"]
        delays = {kind: sum(step["delay"] for step in steps if (step["type"] == "routing") == wire)
                  for kind, wire in [("logic", False), ("routing", True)]}
        paths.append({
            "clock":   path["from"].split()[-1],
            "from":    steps[0]["from"]["cell"],
            "to":      steps[-1]["to"]["cell"],
            "through": [step["net"] for step in steps if step["type"] == "routing"],
            "ns":      round(sum(delays.values()), 2),
            **{f"{kind}_ns": round(value, 2) for kind, value in delays.items()},
        })
    return paths


def late_registers(report, *, count=20):
    """Groups of registers at which signals arrive last: ``to``, how many ``bits``, ``ns``.

    Registers whose names differ in numbers only are a group.
    """
    latest, members = {}, {}
    for net in report.get("detailed_net_timings", ()):
        for sink in net["endpoints"]:
            group = re.sub(r"\d+", "#", re.sub(r"_(TRELLIS_FF|LUT4|PFUMX|CCU2C)_.*", "",
                                               sink["cell"]))
            latest[group] = max(latest.get(group, 0), max(sink["delay"]))
            members.setdefault(group, set()).add(sink["cell"])
    last = sorted(latest, key=latest.get, reverse=True)[:count]
    return [{"to": group, "bits": len(members[group]), "ns": round(latest[group], 2)}
            for group in last]
