"""Trains networks in several precisions, which `popmac compare` sets side by side.

Needs the extra `train`. Run from the root of the project:

    python tests/data/make_quantised.py digits
    python tests/data/make_quantised.py mnist MNIST.npz

The first one trains a small convolutional network for scikit-learn's digits, and writes
``sw/popmac/zoo/digits_cnn*.onnx`` and the samples that they are measured and calibrated with. The
second one trains an MLP and a convolutional network for images of MNIST, an array ``x`` (10000, 28,
28) of uint8 and ``y`` of digits; the first 8,000 are learnt from and the rest measured. It writes
``tests/data/mnist/*.onnx``. All seeds are fixed. Interrupted, it goes on where it was: checkpoints
are in ``build/checkpoints``.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from popmac.quantize.train.augment import jitter
from popmac.quantize.train.export import export
from popmac.quantize.train.layers import (
    BinaryActivation,
    InputCodes,
    IntegerActivation,
    QuantConv2d,
    QuantLinear,
)
from popmac.quantize.train.training import accuracy, train


ROOT  = Path(__file__).parents[2]
ZOO   = ROOT / "sw" / "popmac" / "zoo"
MNIST = ROOT / "tests" / "data" / "mnist"
SEED  = 1

#: Weights of the first, the inner and the last layers, and bits of activations.
PRECISIONS = {
    "int4":    ("int4", "int4", "int4", 4),
    "ternary": ("ternary", "ternary", "ternary", 2),
    "mixed":   ("int8", "binary", "int8", 2),
    "binary":  ("binary", "binary", "binary", 1),
}


def activation(bits, channels):
    return BinaryActivation(channels) if bits == 1 else IntegerActivation(bits)


def float_cnn(channels, flat, *, pool):
    """Two convolutions without padding, and a fully connected layer."""
    a, b = channels
    return nn.Sequential(
        nn.Conv2d(1, a, 3, bias=False), nn.BatchNorm2d(a), nn.ReLU(),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.Conv2d(a, b, 3, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(flat, 10))


def few_bit_cnn(channels, flat, precision, codes, *, pool):
    """The same of few bits."""
    a, b = channels
    first, inner, last, bits = PRECISIONS[precision]
    return nn.Sequential(
        codes, QuantConv2d(1, a, 3, first), nn.BatchNorm2d(a), activation(bits, a),
        *([nn.MaxPool2d(2)] if pool else []),
        QuantConv2d(a, b, 3, inner), nn.BatchNorm2d(b), activation(bits, b), nn.MaxPool2d(2),
        nn.Flatten(), QuantLinear(flat, 10, last), nn.BatchNorm1d(10))


def float_mlp(width):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
        nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
        nn.Linear(width, 10))


def few_bit_mlp(width, precision, codes):
    first, inner, last, bits = PRECISIONS[precision]
    return nn.Sequential(
        codes, nn.Flatten(),
        QuantLinear(784, width, first), nn.BatchNorm1d(width), activation(bits, width),
        QuantLinear(width, width, inner), nn.BatchNorm1d(width), activation(bits, width),
        QuantLinear(width, 10, last), nn.BatchNorm1d(10))


class Task:
    """Images to learn from and images to measure on, and where results go.

    Parameters
    ----------
    data : tuple of Tensor
        Images and labels to learn from, images and labels to measure on.
    folder : Path
        For files.
    epochs, batch : int
    jitter : dict
        How images are moved while training.
    """

    def __init__(self, data, folder, *, epochs, batch, **moves):
        self.images, self.labels, self.tests, self.answers = data
        self.folder, self.epochs, self.batch, self.moves = folder, epochs, batch, moves
        self.checkpoints = ROOT / "build" / "checkpoints"
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(b"".join(v.numpy().tobytes() for v in data)).hexdigest()
        print(f"split: {len(self.images)} / {len(self.tests)}, sha256 {digest[:16]}")

    def train(self, name, make, *, rate, epochs=None, teacher=None, compact=False):
        """Train a network that ``make`` makes, and write it."""
        torch.manual_seed(SEED)
        network = make()
        train(network, self.images, self.labels, epochs=epochs or self.epochs, seed=SEED,
              batch=self.batch, rate=rate, teacher=teacher,
              checkpoint=self.checkpoints / f"{name}.pt",
              augment=lambda images, generator: jitter(images, generator, **self.moves))
        data = export(network, self.images.shape[1:])
        (self.folder / f"{name}.onnx").write_bytes(halved(data) if compact else data)
        print(f"{name}: {accuracy(network, self.tests, self.answers):.2%} of {len(self.tests)}, "
              f"{len(data):,} bytes", flush=True)
        return network


def halved(data):
    """The same file with large constants as float16, which are cast where they are read."""
    model = onnx.load_model_from_string(data)
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 4096:
            name = f"{tensor.name}_half"
            casts.append(helper.make_node("Cast", [name], [tensor.name], to=1))
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    return model.SerializeToString()


def digits():
    data  = load_digits()
    split = train_test_split(data.images[:, None], data.target, test_size=360, random_state=SEED,
                             stratify=data.target)
    images, tests, labels, answers = split
    np.savez_compressed(ZOO / "digits_samples.npz", x=tests.astype(np.uint8),
                        y=answers.astype(np.int64))
    np.savez_compressed(ZOO / "digits_calibration.npz", x=images[:200].astype(np.uint8))
    task = Task([torch.from_numpy(values) for values in (
        images.astype(np.float32), labels, tests.astype(np.float32), answers)], ZOO,
        epochs=120, batch=64, shift=1.0, angle=8, zoom=0.08)
    shape   = ((32, 64), 256)
    teacher = task.train("digits_cnn", lambda: float_cnn(*shape, pool=False), rate=3e-3)
    for precision in PRECISIONS:
        task.train(f"digits_cnn_{precision}", lambda precision=precision: few_bit_cnn(
            *shape, precision, InputCodes(5), pool=False), rate=5e-3, teacher=teacher)


def mnist(path):
    with np.load(path) as file:
        x, y = file["x"].astype(np.float32)[:, None], file["y"].astype(np.int64)
    task = Task([torch.from_numpy(v) for v in (x[:8000], y[:8000], x[8000:], y[8000:])], MNIST,
                epochs=12, batch=100, shift=1.5, angle=10, zoom=0.1)
    shape   = ((16, 32), 800)
    teacher = task.train("mnist_cnn", lambda: float_cnn(*shape, pool=True), rate=3e-3)
    wide    = task.train("mnist_mlp", lambda: float_mlp(128), rate=3e-3, epochs=20, compact=True)
    for precision in ("binary", "mixed"):
        task.train(f"mnist_mlp_{precision}", lambda precision=precision: few_bit_mlp(
            128, precision, InputCodes(1, 128.0)), rate=1e-2, epochs=20, teacher=wide)
    for precision in ("mixed", "binary"):
        task.train(f"mnist_cnn_{precision}", lambda precision=precision: few_bit_cnn(
            *shape, precision, InputCodes(8), pool=True), rate=5e-3, epochs=8, teacher=teacher)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["digits", "mnist"])
    parser.add_argument("data", nargs="?", help="MNIST.npz")
    options = parser.parse_args()
    if options.task == "digits":
        digits()
    elif options.data is None:
        parser.error("mnist needs a file of images")
    else:
        mnist(options.data)


if __name__ == "__main__":
    main()
