"""Tell which operators of a model the device can run, and why it cannot run the others."""

from ..arch import target
from ..compiler import compile_graph
from ..compiler.macs import node_macs
from ..errors import UnsupportedModelError
from ..models import load
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file (.tflite, .onnx)")
    parser.add_argument("--target", default="ulx3s-85f", help="default: %(default)s")


def execute(options):
    """Run the command."""
    arch  = target(options.target)
    graph = load(options.model)
    problems, fallbacks, macs_on_device = {}, {}, 0
    try:
        program = compile_graph(graph, arch)
        fallbacks = {f.node: (f.reason, f.remedy) for f in program.fallbacks}
        macs_on_device = program.macs_on_device
    except UnsupportedModelError as error:
        problems = {name: (reason, remedy) for name, reason, remedy in error.problems}

    operators = []
    for index, node in enumerate(graph.nodes):
        where = "refused" if node.name in problems else \
            "host" if node.name in fallbacks else "device"
        reason, remedy = problems.get(node.name) or fallbacks.get(node.name) or (None, None)
        operators.append({"index": index, "op": node.op, "name": node.name, "where": where,
                          "reason": reason, "remedy": remedy})
    whole  = [(reason, remedy) for name, (reason, remedy) in problems.items()
              if name not in {node.name for node in graph.nodes}]
    result = {
        "supported": not problems,
        "operators": operators,
        "macs": sum(node_macs(graph, node) for node in graph.nodes),
        "macs_on_device": macs_on_device,
        "problems": [{"reason": reason, "remedy": remedy} for reason, remedy in whole],
    }
    if options.json:
        print_json(result)
    else:
        print_table(f"{graph.name} on {arch.name}", ["name", "operator", "where", "why", "remedy"],
                    [(o["name"], o["op"], o["where"], o["reason"] or "", o["remedy"] or "")
                     for o in operators])
        for reason, remedy in whole:
            print(f"{reason}; {remedy}")
        if result["supported"]:
            share = macs_on_device / result["macs"] if result["macs"] else 1
            print(f"supported; {share:.1%} of {result['macs']:,} MACs on the device")
        else:
            print("not supported")
    return 0 if result["supported"] else 2
