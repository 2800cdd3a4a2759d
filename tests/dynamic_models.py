"""Models as onnxruntime.quantization.quantize_dynamic writes them."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic


OPSETS = [helper.make_opsetid("", 17)]


def dynamic(nodes, inputs, outputs, constants, **options):
    """File of a float model, dynamically quantised."""
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, name=outs[0], **attrs) for op, ins, outs, attrs in nodes],
        "dynamic", *([helper.make_tensor_value_info(name, 1, shape) for name, shape in part.items()]
                     for part in (inputs, outputs)),
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()])
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        quantize_dynamic(model, Path(folder) / "model.onnx", **options)
        return (Path(folder) / "model.onnx").read_bytes()


def perceptron(rng, rows, sizes, **options):
    """Matrix products with biases and ReLU, of which the first one is used twice."""
    nodes, constants, x = [], {}, "x"
    for i, (inner, columns) in enumerate(zip(sizes, sizes[1:])):
        constants |= {f"w{i}": rng.normal(size=(inner, columns)).astype(np.float32),
                      f"b{i}": rng.normal(size=columns).astype(np.float32)}
        nodes += [("MatMul", [x, f"w{i}"], [f"m{i}"], {}),
                  ("Add", [f"m{i}", f"b{i}"], [f"a{i}"], {}),
                  ("Relu", [f"a{i}"], [f"r{i}"], {})]
        x = f"r{i}"
    constants["other"] = rng.normal(size=(sizes[0], 3)).astype(np.float32)
    nodes += [("MatMul", ["x", "other"], ["second"], {})]
    return dynamic(nodes, {"x": (rows, sizes[0])},
                   {x: (rows, sizes[-1]), "second": (rows, 3)}, constants, **options)


def lstm(rng, steps, size, hidden):
    """An LSTM over ``steps`` vectors: products dynamic, gates as functions of codes."""
    nodes, constants = [], {
        "w": rng.normal(size=(size, 4 * hidden)).astype(np.float32) / np.float32(size ** 0.5),
        "u": rng.normal(size=(hidden, 4 * hidden)).astype(np.float32) / np.float32(hidden ** 0.5),
        "bias": rng.normal(size=4 * hidden).astype(np.float32) / 4,
        "h0": np.zeros((1, hidden), np.float32), "c0": np.zeros((1, hidden), np.float32),
        "s": np.float32(1 / 16), "z": np.int8(0), "ones": np.ones(steps, np.int64)}
    quantised = []

    def gate(x, function, y):
        quantised.extend([("QuantizeLinear", [x, "s", "z"], [f"{y} q"], {}),
                          ("DequantizeLinear", [f"{y} q", "s", "z"], [f"{y} d"], {})])
        return [*quantised[-2:], (function, [f"{y} d"], [y], {})]

    nodes += [("MatMul", ["x", "w"], ["xw"], {}), ("Add", ["xw", "bias"], ["xb"], {}),
              ("Split", ["xb", "ones"], [f"x{t}" for t in range(steps)], {"axis": 0})]
    h, c = "h0", "c0"
    for t in range(steps):
        gates = [f"{name}{t}" for name in "ifog"]
        if t: # the state is 0 before
            nodes += [("MatMul", [h, "u"], [f"hu{t}"], {}),
                      ("Add", [f"x{t}", f"hu{t}"], [f"sum{t}"], {})]
        nodes += [("Split", [f"sum{t}" if t else f"x{t}"], [f"{g} in" for g in gates],
                   {"axis": 1})]
        for g in gates:
            nodes += gate(f"{g} in", "Tanh" if g[0] == "g" else "Sigmoid", g)
        nodes += [("Mul", [f"i{t}", f"g{t}"], [f"new{t}"], {})]
        if t:
            nodes += [("Mul", [f"f{t}", c], [f"old{t}"], {}),
                      ("Add", [f"old{t}", f"new{t}"], [f"c{t + 1}"], {})]
        c = f"c{t + 1}" if t else "new0"
        nodes += gate(c, "Tanh", f"squashed{t}")
        h = f"h{t + 1}"
        nodes += [("Mul", [f"o{t}", f"squashed{t}"], [h], {})]
    used = {name for _, inputs, *_ in nodes for name in inputs}
    return dynamic(nodes, {"x": (steps, size)}, {h: (1, hidden)},
                   {name: a for name, a in constants.items() if name in used},
                   op_types_to_quantize=["MatMul"])


def save(data, path):
    """Write a file and return its path."""
    path.write_bytes(data)
    onnx.load(path)
    return path
