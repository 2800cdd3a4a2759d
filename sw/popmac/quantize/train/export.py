"""Trained networks as ONNX files: QONNX for few bits, plain for float."""

import io

import numpy as np
import torch
from onnx import TensorProto, checker, helper, numpy_helper
from torch import nn

from ...errors import UnsupportedModelError
from .layers import BinaryActivation, InputCodes, IntegerActivation, QuantConv2d, QuantLinear


__all__ = ["export"]


_DOMAIN = "qonnx.custom_op.general"
_OPSET  = 13


def export(network, shape, *, name="x", output="scores"):
    """File of a network, of one sample.

    Quantisers in the file have scale 1, so that all sums are of integers, which no runtime rounds.
    The scales of weights and activations, batch normalisation and biases are one factor and one
    summand per channel behind the sums.

    Parameters
    ----------
    network : torch.nn.Sequential
        Of ``InputCodes``, ``QuantConv2d``, ``QuantLinear``, ``BatchNorm1d``, ``BatchNorm2d``,
        ``BinaryActivation``, ``IntegerActivation``, ``MaxPool2d``, ``Flatten``, ``Dropout``; or,
        for a float model, of ``Conv2d``, ``Linear``, ``ReLU``, batch normalisation, ``MaxPool2d``,
        ``Flatten``.
    shape : tuple of int
        Of a sample, without the batch axis.
    name, output : str
        Of the input and of the output.

    Returns
    -------
    bytes

    Raises
    ------
    UnsupportedModelError
        With all layers that cannot be exported.
    """
    quantised = any(isinstance(layer, QuantConv2d | QuantLinear) for layer in network)
    exporter  = _Quantised(name) if quantised else _Float(name)
    problems  = []
    for index, layer in enumerate(network):
        try:
            exporter.add(layer)
        except TypeError as error:
            problems.append((f"{index} {type(layer).__name__}", str(error), exporter.remedy))
    if problems:
        raise UnsupportedModelError(problems)
    exporter.finish(output)
    opsets = [helper.make_opsetid("", _OPSET)]
    if quantised:
        opsets.append(helper.make_opsetid(_DOMAIN, 1))
    with torch.no_grad():
        count = network.eval()(torch.zeros(1, *shape)).shape[1]
    graph = helper.make_graph(
        exporter.nodes, "network",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, *shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, (1, count))], exporter.constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=opsets, producer_name="popmac")
    checker.check_model(model)
    return io.BytesIO(model.SerializeToString()).getvalue()


class _Nodes:
    """Nodes and constants; ``x`` is the tensor that the last layer computes."""

    def __init__(self, name):
        self.x = name
        self.nodes, self.constants = [], []

    def constant(self, values, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, op, inputs, domain="", **attrs):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], f"{op}_{len(self.nodes)}",
                                           domain=domain, **attrs))
        return name

    def finish(self, output):
        self.nodes[-1].output[0] = output

    def _pool(self, layer):
        def pair(value):
            return [value, value] if isinstance(value, int) else list(value)
        if layer.ceil_mode or pair(layer.dilation) != [1, 1]:
            raise TypeError("pools round down and have no dilation")
        return self.node("MaxPool", [self.x], kernel_shape=pair(layer.kernel_size),
                         strides=pair(layer.stride), pads=pair(layer.padding) * 2)

    def _flatten(self, layer):
        if layer.start_dim != 1 or layer.end_dim != -1:
            raise TypeError("all axes of a sample are flattened, or none")
        return self.node("Flatten", [self.x], axis=1)


class _Float(_Nodes):
    """Float networks, as they are."""

    remedy = "use another layer, or torch.onnx.export"

    def add(self, layer):
        match layer:
            case nn.Conv2d():
                _check_convolution(layer)
                self.x = self.node("Conv", [self.x, *self._weights(layer)], **_geometry(layer))
            case nn.Linear():
                self.x = self.node("Gemm", [self.x, *self._weights(layer)], transB=1)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                self.x = self.node("BatchNormalization", [self.x, *(
                    self.constant(v.detach().numpy()) for v in (
                        layer.weight, layer.bias, layer.running_mean, layer.running_var))],
                    epsilon=layer.eps)
            case nn.ReLU():
                self.x = self.node("Relu", [self.x])
            case nn.MaxPool2d():
                self.x = self._pool(layer)
            case nn.Flatten():
                self.x = self._flatten(layer)
            case nn.Dropout() | nn.Identity():
                pass
            case _:
                raise TypeError("it has no counterpart in the file")

    def _weights(self, layer):
        values = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
        return [self.constant(v.detach().numpy()) for v in values]


class _Quantised(_Nodes):
    """Networks of few bits. Behind a linear layer, ``gain`` and ``shift`` are what is due."""

    remedy = "use the layers of popmac.quantize.train, each QuantConv2d and QuantLinear between " \
             "activations of few bits"

    def __init__(self, name):
        super().__init__(name)
        self.scale = None # of the codes, if there are any
        self.gain  = self.shift = None

    def add(self, layer):
        match layer:
            case InputCodes():
                self._input(layer)
            case QuantConv2d() | QuantLinear():
                self._linear(layer)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                self._sums("batch normalisation")
                factor = _numpy(layer.weight) / np.sqrt(_numpy(layer.running_var) + layer.eps)
                self.gain  = self.gain * factor
                self.shift = (self.shift - _numpy(layer.running_mean)) * factor + \
                    _numpy(layer.bias)
            case BinaryActivation():
                self._sums("an activation")
                self.shift = self.shift - _numpy(layer.threshold)
                self._scale_sums()
                self.x     = self.node("BipolarQuant", [self.x, self.constant(1.0)], _DOMAIN)
                self.scale = 1.0
            case IntegerActivation():
                self._sums("an activation")
                scale = float(layer.scale.detach().abs()) + 1e-8
                self.gain, self.shift = self.gain / scale, self.shift / scale
                self._scale_sums()
                self.x, self.scale = self._quant(self.x, layer.bits, 0), scale
            case nn.MaxPool2d():
                self._codes("a pool")
                self.x = self._pool(layer)
            case nn.Flatten():
                self._codes("flattening")
                self.x = self._flatten(layer)
            case nn.Dropout() | nn.Identity():
                pass
            case _:
                raise TypeError("it has no counterpart of few bits")

    def finish(self, output):
        if self.gain is not None:
            self._scale_sums()
        super().finish(output)

    def _sums(self, what):
        if self.gain is None:
            raise TypeError(f"{what} that is not behind a linear layer")

    def _codes(self, what):
        if self.scale is None:
            raise TypeError(f"{what} of values that are not of few bits")

    def _quant(self, x, bits, signed, narrow=0):
        return self.node("Quant", [x, self.constant(1.0), self.constant(0.0), self.constant(bits)],
                         _DOMAIN, signed=signed, narrow=narrow, rounding_mode="ROUND")

    def _input(self, layer):
        if self.nodes:
            raise TypeError("InputCodes is the first layer")
        if layer.bits == 1:
            self.x = self.node("Sub", [self.x, self.constant(layer.step)])
            self.x = self.node("BipolarQuant", [self.x, self.constant(1.0)], _DOMAIN)
            self.scale = 1.0
            return
        if layer.step != 1:
            self.x = self.node("Div", [self.x, self.constant(layer.step)])
        self.x, self.scale = self._quant(self.x, layer.bits, 0), layer.step

    def _linear(self, layer):
        self._codes("a linear layer")
        codes, scale = (_numpy(values) for values in layer.codes())
        conv   = isinstance(layer, QuantConv2d)
        values = self.constant(codes if conv else codes.T, np.int8)
        values = self.node("Cast", [values], to=TensorProto.FLOAT)
        bits   = layer.quantiser.bits
        if bits == 1:
            values = self.node("BipolarQuant", [values, self.constant(1.0)], _DOMAIN)
        else:
            values = self._quant(values, bits, 1, narrow=int(codes.min() > -2**(bits - 1)))
        if conv:
            _check_convolution(layer)
            self.x = self.node("Conv", [self.x, values], **_geometry(layer))
        else:
            self.x = self.node("MatMul", [self.x, values])
        self.gain   = scale * self.scale
        self.shift  = np.zeros_like(scale) if layer.bias is None else _numpy(layer.bias)
        self.scale  = None
        self.planar = conv

    def _scale_sums(self):
        shape  = (-1, 1, 1) if self.planar else (-1,)
        self.x = self.node("Mul", [self.x, self.constant(self.gain.reshape(shape))])
        self.x = self.node("Add", [self.x, self.constant(self.shift.reshape(shape))])
        self.gain = self.shift = None


def _numpy(values):
    return values.detach().double().numpy()


def _check_convolution(layer):
    if layer.groups != 1 and isinstance(layer, QuantConv2d) or isinstance(layer.padding, str) \
            or layer.padding_mode != "zeros":
        raise TypeError("convolutions have no groups, and numbers of zeros as padding")


def _geometry(layer):
    return {"kernel_shape": list(layer.kernel_size), "strides": list(layer.stride),
            "pads": [*layer.padding, *layer.padding], "dilations": list(layer.dilation),
            "group": layer.groups}
