"""Trains the network for scikit-learn's digits that `popmac demo` runs, and quantises it.

Needs PyTorch and scikit-learn; nothing else of popmac does. Run from the root of the project:

    python tests/data/make_digits.py

Writes ``sw/popmac/zoo/digits.tflite`` and ``sw/popmac/zoo/digits.npz``, the images that the network
has not been trained on, with their labels.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional


ROOT = Path(__file__).parents[2]
ZOO  = ROOT / "sw" / "popmac" / "zoo"
SEED = 1

sys.path.insert(0, str(ROOT / "tests"))
from tflite_models import ModelBuilder  # noqa: E402


class Digits(nn.Module):
    """8 x 8 images to 10 scores: two stages, the first with a residual connection."""

    def __init__(self):
        super().__init__()
        self.first  = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.third  = nn.Conv2d(16, 16, 3, padding=1)
        self.fourth = nn.Conv2d(16, 32, 3, padding=1)
        self.scores = nn.Linear(32, 10)

    def forward(self, x, seen=None):
        """Scores; ``seen`` collects the results of all layers."""
        def see(name, value):
            if seen is not None:
                seen.setdefault(name, []).append(value.detach())
            return value

        first  = see("first", torch.relu(self.first(x)))
        second = see("second", torch.relu(self.second(first)))
        third  = see("third", self.third(second))
        added  = see("added", torch.relu(first + third))
        pooled = functional.max_pool2d(added, 2)
        fourth = see("fourth", torch.relu(self.fourth(pooled)))
        means  = functional.avg_pool2d(fourth, 4).flatten(1)
        return see("scores", self.scores(means))


def train(model, images, labels):
    """Train with small shifts of the images, which make up for how few there are."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule  = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=60 * 23)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(60):
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(64):
            dy, dx = torch.randint(-1, 2, (2,), generator=generator).tolist()
            x = torch.roll(images[batch], (dy, dx), (2, 3))
            loss = functional.cross_entropy(model(x), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def parameters(layer):
    """Weights per channel: codes with the output channel first, scales, and the float bias."""
    weights = layer.weight.detach().numpy()
    if weights.ndim == 4:
        weights = weights.transpose(0, 2, 3, 1)
    scales  = np.abs(weights).reshape(len(weights), -1).max(axis=1) / 127
    codes   = np.rint(weights / scales.reshape(-1, *[1] * (weights.ndim - 1))).astype(np.int8)
    return codes, scales.astype(np.float32), layer.bias.detach().numpy()


def activation_quantisation(values):
    """Scale and zero point that cover the values and 0."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scale     = np.float32((high - low) / 255)
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def build(model, seen):
    """The quantised network, as a file."""
    b = ModelBuilder()
    quantised = {name: activation_quantisation(torch.cat(values).numpy())
                 for name, values in seen.items()}

    def conv(name, x, activation="none"):
        codes, scales, bias = parameters(getattr(model, name))
        scale, zero_point   = quantised[name]
        bias = np.rint(bias / (np.float32(x.scale) * scales)).astype(np.int32)
        return b.conv_2d(x, codes, bias, weight_scale=scales, scale=scale, zero_point=zero_point,
                         activation=activation)

    # Pixels are 0 to 16; their codes are -128 to 127, so that the float input is natural.
    image  = b.input((1, 8, 8, 1), scale=16 / 255, zero_point=-128, name="image")
    first  = conv("first", image, "relu")
    second = conv("second", first, "relu")
    third  = conv("third", second)
    scale, zero_point = quantised["added"]
    added  = b.binary("ADD", first, third, scale=scale, zero_point=zero_point, activation="relu")
    pooled = b.pool_2d("MAX_POOL_2D", added, (2, 2), strides=(2, 2))
    fourth = conv("fourth", pooled, "relu")
    means  = b.pool_2d("AVERAGE_POOL_2D", fourth, (4, 4), strides=(4, 4))
    flat   = b.reshape(means, (1, 32))
    codes, scales, bias = parameters(model.scores)
    scale, zero_point   = quantised["scores"]
    scores = b.fully_connected(
        flat, codes, np.rint(bias / (np.float32(flat.scale) * scales)).astype(np.int32),
        weight_scale=scales, scale=scale, zero_point=zero_point)
    b.output(b.softmax(scores))
    return b.build()


def main():
    """Train, quantise, write."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels.reshape(-1, 8, 8).astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels, labels, test_size=360, random_state=SEED, stratify=labels)

    model = Digits()
    images = torch.from_numpy(train_x)[:, None]
    train(model, images, torch.from_numpy(train_y))
    model.eval()
    with torch.no_grad():
        accuracy = (model(torch.from_numpy(test_x)[:, None]).argmax(1).numpy() == test_y).mean()
        seen = {}
        model(images, seen)
    print(f"float: {accuracy:.2%} of {len(test_y)} images")

    ZOO.mkdir(exist_ok=True)
    (ZOO / "digits.tflite").write_bytes(build(model, seen))
    codes = np.rint(test_x * 255 / 16 - 128).astype(np.int8)[..., None]
    np.savez_compressed(ZOO / "digits.npz", image=codes, label=test_y.astype(np.int8))


if __name__ == "__main__":
    main()
