"""Cuts a graph into parts for the device and for the host."""

__all__ = ["cut"]


def cut(graph, on_host, alone=()):
    """Nodes in an order that changes between device and host as rarely as it can be seen to.

    Parameters
    ----------
    graph : Graph
    on_host : container of str
        Names of the nodes that the host computes.
    alone : container of str
        Names of nodes that have a segment of their own, so that during their computation the
        device needs to keep nothing else.

    Returns
    -------
    list of (bool, list of Node)
        Whether a segment is the host's, and its nodes.
    """
    known    = {*graph.inputs, *(n for n, t in graph.tensors.items() if t.is_constant)}
    waiting  = list(graph.nodes)
    segments = []
    while waiting:
        best = None
        for host in (False, True):
            # Everything that this side can compute before the other one has to.
            taken, reached = [], set(known)
            for node in waiting:
                if (node.name in on_host) == host and all(n in reached or not n
                                                          for n in node.inputs):
                    taken.append(node)
                    reached.update(node.outputs)
            same = segments and segments[-1][0] == host
            if taken and (best is None or same):
                best = host, taken, reached
        host, taken, known = best
        segments.append((host, taken))
        names   = {node.name for node in taken}
        waiting = [node for node in waiting if node.name not in names]
    return [part for host, nodes in segments for part in _split(host, nodes, alone)]


def _split(host, nodes, alone):
    parts = [[]]
    for node in nodes:
        if parts[-1] and (node.name in alone or parts[-1][-1].name in alone):
            parts.append([])
        parts[-1].append(node)
    return [(host, part) for part in parts]
