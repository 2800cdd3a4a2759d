import struct
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import operator_models
import pytest
import tflite_models
from corruption import corrupted

from popmac.compiler.frontends.tflite import load_tflite, unique_names
from popmac.errors import ModelFormatError, PopmacError, UnsupportedModelError
from popmac.golden import layers
from popmac.reference import LiteRTReference


FUZZED = 1500
MODELS = [files("popmac") / "zoo" / "digits.tflite",
          *sorted((Path(__file__).parents[3] / "shared" / "models").glob("*.tflite"))]


def convolution(**options):
    """File of a model with one convolution: tensors t0 to t3 are input, weights, bias, output."""
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, 9, 8, 3), scale=0.5, zero_point=-3)
    y = builder.conv_2d(x, np.arange(4 * 3 * 5 * 3).reshape(4, 3, 5, 3) % 50, np.arange(4),
                        weight_scale=[0.1, 0.2, 0.3, 0.4], scale=2.0, **options)
    builder.output(y)
    return builder.build()


def one_node(data):
    node, = load_tflite(data, "model").nodes
    return node


def test_graph_of_a_convolution():
    graph = load_tflite(convolution(strides=(2, 1), activation="relu6", zero_point=7), "model")
    assert (graph.name, graph.dialect) == ("model", "tflite")
    assert (graph.inputs, graph.outputs) == (("t0",), ("t3",))
    node, = graph.nodes
    assert (node.op, node.name) == ("Conv2D", "0 CONV_2D")
    assert (node.inputs, node.outputs) == (("t0", "t1", "t2"), ("t3",))
    assert node.attrs == {"strides": (2, 1), "dilation": (1, 1), "padding": ((1, 1), (2, 2)),
                          "activation": "relu6"}
    x, weights, bias, y = (graph.tensors[f"t{i}"] for i in range(4))
    assert (x.shape, x.dtype, x.data, x.axis) == ((1, 9, 8, 3), "int8", None, None)
    np.testing.assert_array_equal((x.scale, x.zero_point), [[0.5], [-3]])
    assert (weights.shape, weights.axis) == ((4, 3, 5, 3), 0)
    np.testing.assert_array_equal(weights.data, np.arange(180).reshape(4, 3, 5, 3) % 50)
    np.testing.assert_array_equal(weights.scale, np.float32([0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_array_equal(bias.data, np.arange(4))
    assert (y.shape, y.zero_point[0]) == ((1, 5, 8, 4), 7)


@pytest.mark.parametrize("size, kernel, stride, dilation, expected", [
    (8, 3, 1, 1, (1, 1)), (8, 3, 2, 1, (0, 1)), (9, 3, 2, 1, (1, 1)), (8, 4, 1, 1, (1, 2)),
    (8, 1, 3, 1, (0, 0)), (9, 3, 1, 2, (2, 2)), (7, 2, 2, 3, (1, 2)),
])
def test_padding_of_same(size, kernel, stride, dilation, expected):
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, size, 1, 1))
    builder.output(builder.conv_2d(x, np.zeros((1, kernel, 1, 1)), weight_scale=1, scale=1,
                                   strides=(stride, 1), dilation=(dilation, 1)))
    assert one_node(builder.build()).attrs["padding"] == (expected, (0, 0))


def test_constant_parameters_become_attributes(rng):
    expected = {"Pad": {"padding", "value"}, "Mean": {"axes", "keep_dims"},
                "Transpose": {"permutation"}, "StridedSlice": {"slices", "shape"},
                "ResizeBilinear": {"size", "align_corners", "half_pixel_centers"},
                "Split": {"axis", "sizes"}, "Reshape": {"shape"},
                "ReduceMax": {"axes", "keep_dims"}}
    for op, attrs in expected.items():
        node = one_node(operator_models.random_model(op, rng))
        assert (set(node.attrs), len(node.inputs)) == (attrs, 1)


def test_attributes_are_plain(rng):
    def plain(value):
        return all(map(plain, value)) if isinstance(value, tuple) \
            else type(value) in (int, float, str, bool)

    for op in operator_models.MODELS:
        node = one_node(operator_models.random_model(op, rng))
        assert all(map(plain, node.attrs.values())), op


def test_operators_that_are_unknown_keep_their_name():
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, 4))
    y = builder.unary("COS", x)
    z = builder.unary("RELU", y)
    builder.output(builder.unary("FLOOR_MOD", z))
    graph = load_tflite(builder.build(), "model")
    assert [node.op for node in graph.nodes] == ["COS", "Relu", "FLOOR_MOD"]
    assert graph.nodes[0].attrs == {}
    assert [name for name, *_ in layers.problems(graph)] == ["0 COS", "2 FLOOR_MOD"]


@pytest.mark.parametrize("code, expected", [
    (b"Flex", "CUSTOM 'Flex'"), (b"Conv2D", "CUSTOM 'Conv2D'"), (b"a\nb", r"CUSTOM 'a\nb'"),
    (b"\xff", "CUSTOM '\N{REPLACEMENT CHARACTER}'"), (b"", "CUSTOM ''"),
])
def test_custom_operators(code, expected):
    model = tflite_models.unpack(convolution())
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 32
    model.operatorCodes[0].customCode  = code
    node = one_node(tflite_models.pack(model))
    assert (node.op, node.name, node.attrs) == (expected, f"0 {expected}", {})


@pytest.mark.parametrize("inputs, activation, reason", [
    ([0, 1], 0, "weights are computed at run time"),
    ([0, 2], 0, "bias is computed at run time"),
    ([0], 4, "activation"),
])
def test_forms_that_are_unknown_say_why(inputs, activation, reason):
    model = tflite_models.unpack(convolution())
    for index in inputs:
        tensor(model, index).buffer = 0
    graph(model).inputs = inputs
    options(model).fusedActivationFunction = activation
    loaded = load_tflite(tflite_models.pack(model), "model")
    assert loaded.nodes[0].op == "CONV_2D"
    assert reason in loaded.nodes[0].attrs["reason"]
    assert layers.problems(loaded)[0][1] == loaded.nodes[0].attrs["reason"]


def test_shapes_that_are_computed_are_constants():
    # What converters write for a reshape that keeps the batch.
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, 4, 5), scale=0.5)
    shape = builder.operator("SHAPE", [x], [builder.tensor((3,), "int32")], outType=2)
    first = builder.operator(
        "STRIDED_SLICE", [shape, *(builder.constant([n]) for n in (0, 1, 1))],
        [builder.tensor((), "int32")], shrinkAxisMask=1)
    new = builder.operator("PACK", [first, builder.constant(20)], [builder.tensor((2,), "int32")],
                           valuesCount=2)
    builder.output(builder.operator("RESHAPE", [x, new], [builder.like(x, (1, 20))]))
    graph = load_tflite(builder.build(), "model")
    assert [node.op for node in graph.nodes] == ["Reshape"]
    assert graph.nodes[0].attrs == {"shape": (1, 20)}


def test_names():
    names = list(unique_names(["a", "", "a", "a", "a #2", ""]))
    assert len(set(names)) == 6
    assert names[:3] == ["a", "tensor 1", "a #2"]
    assert list(unique_names(["a", "", "a"])) == names[:3]


def test_tensors_of_the_same_name():
    model = tflite_models.unpack(convolution())
    for one in model.subgraphs[0].tensors:
        one.name = b"x"
    graph = load_tflite(tflite_models.pack(model), "model")
    assert len(graph.tensors) == 4


# What is wrong with a file, and what is said about it.

def graph(model):
    return model.subgraphs[0]


def tensor(model, index):
    return model.subgraphs[0].tensors[index]


def options(model):
    return model.subgraphs[0].operators[0].builtinOptions


def quantization(model, index):
    return model.subgraphs[0].tensors[index].quantization


def operator(model):
    return model.subgraphs[0].operators[0]


DAMAGES = {
    "no subgraph": (lambda m: m.subgraphs.clear(), "0 subgraphs"),
    "two subgraphs": (lambda m: m.subgraphs.append(m.subgraphs[0]), "2 subgraphs"),
    "no outputs": (lambda m: graph(m).outputs.clear(), "no outputs"),
    "output that is not there": (lambda m: graph(m).outputs.__setitem__(0, 4), "output 4"),
    "input that is not there": (lambda m: graph(m).inputs.__setitem__(0, -1), "input -1"),
    "input twice": (lambda m: graph(m).inputs.append(0), "twice"),
    "input that is a constant": (lambda m: graph(m).inputs.append(1), "'t1' is a constant"),
    "operand that is not there": (lambda m: operator(m).inputs.__setitem__(0, 9), "input 9"),
    "operand of no number": (lambda m: operator(m).inputs.__setitem__(0, -2), "input -2"),
    "operand left out": (lambda m: operator(m).inputs.__setitem__(0, -1), "3 inputs"),
    "too many operands": (lambda m: operator(m).inputs.extend([0, 0]), "5 inputs"),
    "no result": (lambda m: operator(m).outputs.clear(), "no output"),
    "two results": (lambda m: operator(m).outputs.append(3), "2 outputs"),
    "operator without code": (lambda m: setattr(operator(m), "opcodeIndex", 5), "code 5"),
    "operator without options": (lambda m: (setattr(operator(m), "builtinOptionsType", 0),
                                            setattr(operator(m), "builtinOptions", None)),
                                 "no Conv2DOptions"),
    "result as operand": (lambda m: operator(m).inputs.__setitem__(0, 3),
                                      "for 3 channels, not 4"),
    "input never there": (lambda m: graph(m).inputs.clear(), "before it is computed"),
    "two operators for one tensor": (lambda m: graph(m).operators.append(operator(m)),
                                     "computed twice"),
    "negative shape": (lambda m: tensor(m, 0).shape.__setitem__(1, -1), r"shape \(1, -1"),
    "no axes": (lambda m: setattr(tensor(m, 0), "shape", []), r"shape \(\)"),
    "many axes": (lambda m: setattr(tensor(m, 0), "shape", [1] * 9), "9 axes"),
    "size of zero": (lambda m: tensor(m, 0).shape.__setitem__(1, 0), r"shape \(1, 0"),
    "huge shape": (lambda m: setattr(tensor(m, 0), "shape", [2**31 - 1] * 4), "2 GiB"),
    "large shape": (lambda m: setattr(tensor(m, 0), "shape", [1, 9, 8, 4]), "for 3 channels"),
    "wrong output": (lambda m: tensor(m, 3).shape.__setitem__(1, 8), "it makes"),
    "no fixed shape": (lambda m: setattr(tensor(m, 0), "shapeSignature", [-1, -1, 8, 3]),
                       "no fixed shape"),
    "missing weights": (lambda m: tensor(m, 1).shape.__setitem__(0, 5), "takes 225 bytes"),
    "buffer that is not there": (lambda m: setattr(tensor(m, 1), "buffer", 9), "buffer 9"),
    "buffer beyond the file": (lambda m: (setattr(m.buffers[1], "data", None),
                                          setattr(m.buffers[1], "offset", 100),
                                          setattr(m.buffers[1], "size", 2**40)), "beyond the end"),
    "variable": (lambda m: setattr(tensor(m, 0), "isVariable", True), "variable"),
    "scale of zero": (lambda m: quantization(m, 0).scale.__setitem__(0, 0.0), "not a positive"),
    "negative scale": (lambda m: quantization(m, 0).scale.__setitem__(0, -1.0), "not a positive"),
    "infinite scale": (lambda m: quantization(m, 0).scale.__setitem__(0, np.inf), "not a positiv"),
    "scale that is none": (lambda m: quantization(m, 1).scale.__setitem__(1, np.nan),
                           "not a positive"),
    "scales missing": (lambda m: quantization(m, 1).scale.pop(), "3 scales along axis 0"),
    "scales along no axis": (lambda m: setattr(quantization(m, 1), "quantizedDimension", 7),
                             "along axis 7"),
    "scales along a negative axis": (lambda m: setattr(quantization(m, 1), "quantizedDimension",
                                                       -4), "along axis -4"),
    "zero points missing": (lambda m: quantization(m, 1).zeroPoint.pop(), "3 zero points"),
    "no zero points": (lambda m: quantization(m, 1).zeroPoint.clear(), "0 zero points"),
    "zero point too large": (lambda m: quantization(m, 0).zeroPoint.__setitem__(0, 128),
                             "zero point of tensor 't0'"),
    "weights with a zero point": (lambda m: quantization(m, 1).zeroPoint.__setitem__(2, 1),
                                  "weights have a zero point"),
    "stride of zero": (lambda m: setattr(options(m), "strideH", 0), "stride"),
    "negative stride": (lambda m: setattr(options(m), "strideW", -1), "stride"),
    "dilation of zero": (lambda m: setattr(options(m), "dilationHFactor", 0), "dilation"),
    "unknown padding": (lambda m: setattr(options(m), "padding", 2), "padding 2"),
    "kernel too large": (lambda m: (setattr(options(m), "padding", 1),
                                    setattr(options(m), "dilationHFactor", 100)), "does not fit"),
    "bias too short": (lambda m: (setattr(tensor(m, 2), "shape", [2]),
                                  setattr(m.buffers[2], "data", m.buffers[2].data[:8]),
                                  quantization(m, 2).scale.clear()), "bias has shape"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(damage):
    change, message = DAMAGES[damage]
    model = tflite_models.unpack(convolution())
    vectors = [*((one, ("shape",)) for one in graph(model).tensors),
               *((one.quantization, ("scale", "zeroPoint")) for one in graph(model).tensors
                 if one.quantization is not None),
               (operator(model), ("inputs", "outputs")), (graph(model), ("inputs", "outputs"))]
    for table, names in vectors:
        for name in names:
            setattr(table, name, list(getattr(table, name)))
    change(model)
    with pytest.raises(ModelFormatError, match=message) as caught:
        load_tflite(tflite_models.pack(model), "model")
    assert str(caught.value).startswith("model: ")
    assert "\n" not in str(caught.value)


REFUSED = {
    "softmax with a scale of its own": lambda b, x: b.unary("SOFTMAX", x, scale=0.1, beta=1.0),
    "softmax with a zero point of its own":
        lambda b, x: b.unary("SOFTMAX", x, scale=1 / 256, zero_point=0, beta=1.0),
    "logistic with a scale of its own":
        lambda b, x: b.unary("LOGISTIC", x, scale=0.1, zero_point=-128),
    "hard swish with too small a scale": lambda b, x: b.unary("HARD_SWISH", x, scale=1e-4),
    "concatenation of other scales":
        lambda b, x: b.concatenation([x, b.input(x.shape, scale=0.25)], 1),
    "concatenation of other zero points":
        lambda b, x: b.concatenation([x, b.input(x.shape, zero_point=3)], 1),
    "maximum of an axis with another scale":
        lambda b, x: b.reduce("REDUCE_MAX", x, (1, 2), scale=0.25),
    "axis that is not there": lambda b, x: b.operator(
        "MEAN", [x, b.constant([4])], [b.like(x, (1, 6, 8, 4))], keepDims=True),
    "shapes that do not go together": lambda b, x: b.operator(
        "ADD", [x, b.input((1, 5, 8, 4))], [b.like(x)]),
    "types that do not go together": lambda b, x: b.operator(
        "ADD", [x, b.input(x.shape, "uint8")], [b.like(x)]),
    "permutation with an axis twice": lambda b, x: b.operator(
        "TRANSPOSE", [x, b.constant([0, 1, 1, 4])], [b.like(x)]),
    "padding below zero": lambda b, x: b.operator(
        "PAD", [x, b.constant([[0, 0], [-1, 1], [0, 0], [0, 0]])], [b.like(x)]),
    "padding of too few axes": lambda b, x: b.operator(
        "PAD", [x, b.constant([[0, 0], [1, 1]])], [b.like(x)]),
    "mirror that is too large": lambda b, x: b.operator(
        "MIRROR_PAD", [x, b.constant([[0, 0], [6, 0], [0, 0], [0, 0]])],
        [b.like(x, (1, 12, 8, 4))], mode=0),
    "reshape to another size": lambda b, x: b.operator(
        "RESHAPE", [x, b.constant([1, 7])], [b.like(x, (1, 7))], newShape=[1, 7]),
    "stride of zero": lambda b, x: b.operator(
        "STRIDED_SLICE", [x, *(b.constant(n) for n in ([0] * 4, [1] * 4, [0] * 4))],
        [b.like(x, (1, 1, 1, 1))]),
    "slice beyond the end": lambda b, x: b.operator(
        "SLICE", [x, b.constant([0, 4, 0, 0]), b.constant([1, 3, 8, 4])],
        [b.like(x, (1, 3, 8, 4))]),
    "split that leaves a rest": lambda b, x: b.operator(
        "SPLIT", [b.constant(1), x], [b.like(x, (1, 1, 8, 4)) for _ in range(4)], numSplits=4),
    "both corners and centres": lambda b, x: b.resize(
        "RESIZE_BILINEAR", x, (3, 3), alignCorners=True, halfPixelCenters=True),
    "blocks that leave a rest": lambda b, x: b.operator(
        "SPACE_TO_DEPTH", [x], [b.like(x, (1, 1, 2, 64))], blockSize=4),
    "weights for other channels": lambda b, x: b.conv_2d(
        x, np.zeros((2, 1, 1, 3)), weight_scale=1, scale=1),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_the_kernels_refuse_is_refused(form):
    builder = tflite_models.ModelBuilder()
    x = builder.input((1, 6, 8, 4), scale=0.5)
    builder.output(REFUSED[form](builder, x))
    data = builder.build()
    with pytest.raises(ModelFormatError, match="^model: 0 [A-Z]"):
        load_tflite(data, "model")
    with pytest.raises(ModelFormatError, match="LiteRT"):
        LiteRTReference(data).run({x.name: np.zeros(x.shape, np.int8)})


def test_buffer_behind_the_flatbuffer():
    model = tflite_models.unpack(convolution())
    weights = bytes(model.buffers[1].data)
    model.buffers[1].data = None
    model.buffers[1].offset, model.buffers[1].size = 2, len(weights)
    offset = len(tflite_models.pack(model))
    model.buffers[1].offset = offset
    data  = tflite_models.pack(model)
    assert len(data) == offset
    loaded = load_tflite(data + weights, "model").tensors["t1"]
    np.testing.assert_array_equal(loaded.data.ravel(), np.arange(180) % 50)
    with pytest.raises(ModelFormatError, match="beyond the end"):
        load_tflite(data + weights[:-1], "model")


def test_types_that_popmac_has_not_are_all_named():
    model = tflite_models.unpack(convolution())
    tensor(model, 0).type = 1
    tensor(model, 3).type = 10
    with pytest.raises(UnsupportedModelError) as caught:
        load_tflite(tflite_models.pack(model), "model")
    assert [(operator, reason) for operator, reason, _ in caught.value.problems] == [
        ("tensor 't0'", "popmac has no type float16"),
        ("tensor 't3'", "popmac has no type float64")]


def test_sparse_tensors_are_refused():
    from ai_edge_litert.schema_py_generated import SparsityParametersT
    model = tflite_models.unpack(convolution())
    tensor(model, 1).sparsity = SparsityParametersT()
    with pytest.raises(ModelFormatError, match="'t1' is sparse"):
        load_tflite(tflite_models.pack(model), "model")


@pytest.mark.parametrize("data", [b"", b"TFL3", bytes(8), b"\0\0\0\0TFL3", b"\xff" * 4 + b"TFL3",
                                  bytes(4) + b"TFL3" + bytes(100), b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_model(data):
    with pytest.raises(ModelFormatError, match="^model: "):
        load_tflite(data, "model")


def test_truncated_files(rng):
    data = convolution()
    for length in range(0, len(data), 7):
        with pytest.raises(ModelFormatError) as caught:
            load_tflite(data[:length], "model")
        assert "\n" not in str(caught.value)


def files(rng):
    for path in MODELS:
        yield path.read_bytes()
    for op in operator_models.MODELS:
        yield operator_models.random_model(op, rng)


def test_corrupted_files(rng):
    sources  = list(files(rng))
    accepted = refused = 0
    for _ in range(FUZZED):
        data = corrupted(sources[rng.integers(len(sources))], rng)
        start = time.perf_counter()
        try:
            loaded = load_tflite(data, "model")
        except ModelFormatError as error:
            assert "\n" not in str(error)
            refused += 1
        except UnsupportedModelError:
            refused += 1
        else:
            accepted += 1
            compute(loaded, rng)
        assert time.perf_counter() - start < 5
    assert accepted > FUZZED // 20 and refused > FUZZED // 20


def compute(loaded, rng):
    """What was loaded has the shapes and types that it says."""
    elements = sum(np.prod(t.shape) for t in loaded.tensors.values())
    largest  = max((np.abs(np.array(node.attrs.get(name, 0)).ravel()).max()
                    for node in loaded.nodes for name in ("kernel", "padding", "dilation")),
                   default=0)
    if elements > 20_000 or largest > 100 or layers.problems(loaded):
        return
    try:
        values = layers.run(loaded, operator_models.random_inputs(loaded, rng))
    except PopmacError:
        return
    for name, array in values.items():
        assert array.shape == loaded.tensors[name].shape
        assert array.dtype == loaded.tensors[name].dtype


@pytest.mark.parametrize("count, field", [(2**14 + 1, "tensors"), (2**14 + 1, "operators")])
def test_parts_that_are_repeated_are_limited(count, field):
    model = tflite_models.unpack(convolution())
    setattr(graph(model), field, getattr(graph(model), field)[:1])
    data  = tflite_models.pack(model)
    start = time.perf_counter()
    # All entries of the vector lead to the one table.
    with pytest.raises(ModelFormatError):
        load_tflite(with_repeated(data, field, count), "model")
    assert time.perf_counter() - start < 5


def with_repeated(data, field, count):
    """A file whose vector of tensors or operators has ``count`` entries, all for its first."""
    import tflite
    subgraph = tflite.Model.GetRootAs(data, 0).Subgraphs(0)
    slot  = {"tensors": 4, "operators": 10}[field]
    at    = subgraph._tab.Pos + subgraph._tab.Offset(slot)
    first = getattr(subgraph, field.capitalize())(0)._tab.Pos
    # Offsets are forward only: the vector cannot move, but its length can be overwritten.
    vector = at + struct.unpack_from("<I", data, at)[0]
    assert first > vector
    changed = bytearray(data)
    struct.pack_into("<I", changed, vector, count)
    return bytes(changed) + bytes(4 * count)
