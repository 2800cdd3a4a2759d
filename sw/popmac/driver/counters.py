"""What the device counted in a run."""

from ..isa import LayerCounters


__all__ = ["STALLS", "counters_of", "layer_table", "total"]


#: Causes of cycles in which no step was issued.
STALLS = tuple(name for name in LayerCounters.__dataclass_fields__
               if name not in ("cycles", "steps"))


def counters_of(read):
    """Counters from what was read of a layer."""
    return LayerCounters.decode(int.from_bytes(read.result(), "little"))


def layer_table(program, counted):
    """Counters by node of the model, host nodes included.

    Parameters
    ----------
    program : Program
    counted : sequence of LayerCounters
        By index of the layer.

    Returns
    -------
    list of dict
        With ``name``, ``op``, ``where``, ``cycles``, ``macs``, ``stalls``.
    """
    table = []
    for segment in program.segments:
        if hasattr(segment, "nodes"):
            ops = {node.name: node.op for node in program.graph.nodes}
            table.extend({"name": name, "op": ops[name], "where": "host", "cycles": 0, "macs": 0,
                          "stalls": dict.fromkeys(STALLS, 0)} for name in segment.nodes)
            continue
        for index in range(segment.first, segment.last + 1):
            layer, counters = program.layers[index], counted[index]
            if not (table and table[-1]["name"] == layer.node):
                table.append({"name": layer.node, "op": layer.op, "where": "device", "cycles": 0,
                              "macs": 0, "stalls": dict.fromkeys(STALLS, 0)})
            row = table[-1]
            row["cycles"] += counters.cycles
            row["macs"]   += layer.macs
            for name in STALLS:
                row["stalls"][name] += getattr(counters, name)
    return table


def total(table, cycles, bytes_in, bytes_out):
    """Counters of a whole run."""
    return {
        "cycles": cycles,
        "stalls": {name: sum(row["stalls"][name] for row in table) for name in STALLS},
        "link_bytes_in": bytes_in,
        "link_bytes_out": bytes_out,
        "layers": table,
    }
