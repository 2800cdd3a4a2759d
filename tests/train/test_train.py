import numpy as np
import pytest
import torch
from torch import nn

import popmac
from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.errors import InputError, ModelFormatError, UnsupportedModelError
from popmac.golden import layers as golden
from popmac.quantize.train.augment import jitter
from popmac.quantize.train.estimators import sign_through
from popmac.quantize.train.export import export
from popmac.quantize.train.layers import (
    BinaryActivation,
    InputCodes,
    IntegerActivation,
    QuantConv2d,
    QuantLinear,
)
from popmac.quantize.train.training import accuracy, train
from popmac.quantize.train.weights import WEIGHTS, weight_quantiser
from popmac.reference import QonnxReference


pytestmark = pytest.mark.filterwarnings("ignore") # those of qonnx and onnxruntime


@pytest.fixture(autouse=True)
def seed(rng):
    torch.manual_seed(int(rng.integers(2**31)))
    torch.set_num_threads(1)


def activation(bits, channels):
    return BinaryActivation(channels) if bits == 1 else IntegerActivation(bits)


def small_network(weights="binary", bits=1, inputs=4):
    return nn.Sequential(
        InputCodes(inputs, 1.0 if inputs > 1 else 7.5), QuantConv2d(1, 6, 3, weights),
        nn.BatchNorm2d(6), activation(bits, 6), nn.MaxPool2d(2), nn.Flatten(),
        QuantLinear(54, 12, weights), nn.BatchNorm1d(12), activation(bits, 12), nn.Dropout(0.1),
        QuantLinear(12, 4, weights, bias=True))


def randomise(network, shape, rng):
    """Statistics and factors of batch normalisation as after a training, some factors negative."""
    for layer in network:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.weight.data.uniform_(-1, 1.5)
            layer.bias.data.normal_()
        if isinstance(layer, BinaryActivation):
            layer.threshold.data.normal_(0, 0.3)
    network.train()
    for _ in range(20):
        network(torch.from_numpy(rng.integers(0, 16, (50, *shape)).astype(np.float32)))
    return network.eval()


def quadrants(rng, count):
    """Images of noise with a bright corner, and which corner it is."""
    images = rng.integers(0, 10, (count, 1, 8, 8)).astype(np.float32)
    labels = rng.integers(0, 4, count)
    for corner in range(4):
        y, x = 4 * (corner // 2), 4 * (corner % 2)
        images[labels == corner, :, y:y + 4, x:x + 4] += 5
    return torch.from_numpy(images), torch.from_numpy(labels)


@pytest.mark.parametrize("inputs", [1, 4])
@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_exported_networks_are_exact(rng, weights, bits, inputs):
    shape   = (1, 8, 8)
    network = randomise(small_network(weights, bits, inputs), shape, rng)
    data    = export(network, shape)
    graph   = load_onnx(data, "network")
    x       = rng.integers(0, 16, (8, *shape)).astype(np.float32)
    program = popmac.compile(graph, target="tiny")
    assert program.macs_on_device == program.macs
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    with popmac.open("golden:tiny") as device:
        actual = device.load(program).run_many(x)
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())
    reference = QonnxReference(data, graph)
    for sample, result in zip(x, actual):
        values = reference.run({"x": sample[None]})
        np.testing.assert_array_equal(values["scores"][0], result)
        np.testing.assert_array_equal(golden.run(graph, {"x": sample[None]})["scores"][0], result)


def test_weights(rng):
    weights = torch.from_numpy(rng.normal(size=(5, 40)).astype(np.float32))
    for kind, levels in (("binary", {-1, 1}), ("ternary", {-1, 0, 1}), ("int2", {-2, -1, 0, 1}),
                         ("int4", set(range(-7, 8))), ("int8", set(range(-127, 128)))):
        codes, scale = weight_quantiser(kind, 5)(weights)
        assert set(codes.detach().int().unique().tolist()) <= levels, kind
        assert len(codes.detach().unique()) > min(len(levels), 100) / 2
        error = (codes * scale[:, None] - weights).pow(2).mean(dim=1) / weights.pow(2).mean(dim=1)
        most  = {"binary": 0.5, "ternary": 0.3, "int2": 0.4, "int4": 0.04, "int8": 1e-4}[kind]
        assert error.max() < most, (kind, error)
    # XNOR-Net's scale is the mean magnitude, the best one for signs.
    codes, scale = weight_quantiser("binary", 5)(weights)
    np.testing.assert_allclose(scale, weights.abs().mean(dim=1), rtol=1e-6)
    assert sign_through(torch.tensor([-0.0, 0.0, -1e-9])).tolist() == [1, 1, -1]


@pytest.mark.parametrize("kind", WEIGHTS)
def test_gradients_pass_through(rng, kind):
    weights   = torch.from_numpy(rng.normal(size=(3, 30)).astype(np.float32) * 0.4)
    weights.requires_grad_()
    quantiser = weight_quantiser(kind, 3)
    codes, scale = quantiser(weights)
    (codes * scale[:, None]).sum().backward()
    assert (weights.grad != 0).any() and torch.isfinite(weights.grad).all()
    for name, parameter in quantiser.named_parameters():
        assert (parameter.grad != 0).any(), name
    learnt = BinaryActivation(30)
    learnt(weights).sum().backward()
    assert (learnt.threshold.grad < 0).all() # a higher threshold, fewer ones


def test_training_learns(rng):
    images, labels = quadrants(rng, 600)
    for weights, bits in (("binary", 1), ("ternary", 2), ("int4", 4)):
        network = small_network(weights, bits)
        train(network, images[:500], labels[:500], epochs=12, seed=1, batch=50, rate=1e-2)
        assert accuracy(network, images[500:], labels[500:]) > 0.9, weights


def test_thresholds_of_ternary_weights_are_learnt(rng):
    images, labels = quadrants(rng, 200)
    network = small_network("ternary", 2)
    train(network, images, labels, epochs=3, seed=1, batch=50)
    assert network[1].quantiser.share.sub(0.7).abs().max() > 1e-3


def test_a_teacher_is_followed(rng):
    images, labels = quadrants(rng, 400)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    torch.nn.init.normal_(teacher[1].weight) # of another opinion than the labels
    wanted  = teacher(images).argmax(dim=1)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 4))
    train(network, images, labels, epochs=20, seed=1, rate=1e-2, teacher=teacher, share=1.0)
    assert accuracy(network, images, wanted) > 0.85 > accuracy(network, images, labels)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_interrupted_training_goes_on(rng, tmp_path):
    images, labels = quadrants(rng, 200)

    def moved(images, generator):
        return jitter(images, generator, shift=0.5, angle=3, zoom=0.05)

    def run(checkpoint, stop=None):
        torch.manual_seed(5)
        network = small_network("ternary", 2)
        calls   = 0

        def augment(images, generator):
            nonlocal calls
            calls += 1
            if stop is not None and calls > stop:
                raise KeyboardInterrupt
            return moved(images, generator)

        train(network, images, labels, epochs=4, seed=3, batch=50, augment=augment,
              checkpoint=checkpoint)
        return network.state_dict(), calls

    whole, calls = run(tmp_path / "a.pt")
    assert calls == 16
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b.pt", stop=10) # in the middle of the third epoch
    resumed, calls = run(tmp_path / "b.pt")
    assert calls == 8
    for name, values in whole.items():
        assert torch.equal(values, resumed[name]), name
    again, calls = run(tmp_path / "b.pt")
    assert calls == 0 and torch.equal(again["1.weight"], whole["1.weight"])
    with pytest.raises(InputError, match="of another network, other data"):
        train(small_network("binary"), images, labels, epochs=4, seed=3, batch=50,
              checkpoint=tmp_path / "b.pt")
    (tmp_path / "b.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ModelFormatError, match="b.pt: is no checkpoint"):
        run(tmp_path / "b.pt")


def test_seeds_decide(rng):
    images, labels = quadrants(rng, 200)
    found = []
    for number in (1, 1, 2):
        torch.manual_seed(7)
        network = small_network()
        train(network, images, labels, epochs=2, seed=number, batch=50)
        found.append(network[1].weight.detach().clone())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_images_are_moved(rng):
    images = torch.zeros(200, 1, 9, 9)
    images[:, :, 4, 4] = 1
    moved  = jitter(images, torch.Generator().manual_seed(1), shift=2.0)
    place  = (moved[:, 0].sum(dim=1) * torch.arange(9)).sum(dim=1) / moved.sum(dim=(1, 2, 3))
    assert 5.5 < place.max() <= 6.01 and 1.99 <= place.min() < 2.5
    assert torch.equal(jitter(images, torch.Generator()), images)


def test_layers_that_cannot_be_exported_are_listed():
    network = nn.Sequential(InputCodes(2), nn.Flatten(), nn.ReLU(), QuantLinear(4, 3, "binary"),
                            nn.MaxPool2d(2), nn.Sigmoid())
    with pytest.raises(UnsupportedModelError) as error:
        export(network, (1, 2, 2))
    assert [p[0] for p in error.value.problems] == ["2 ReLU", "4 MaxPool2d", "5 Sigmoid"]
    with pytest.raises(InputError, match="weights are binary, ternary, int2, int4, int8, not 'x'"):
        QuantLinear(4, 3, "x")
    with pytest.raises(InputError, match="activations have 2 or 4 bits, not 3"):
        IntegerActivation(3)
    with pytest.raises(InputError, match="inputs have 1 to 8 bits"):
        InputCodes(9)


def test_modules_are_quantised(rng):
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    x = rng.normal(size=(40, 2, 6, 6)).astype(np.float32)
    with torch.no_grad():
        network.train()(torch.from_numpy(x))
    data = popmac.quantize(network, x)
    assert network.training # as it was
    import onnxruntime
    session = onnxruntime.InferenceSession(data)
    name,   = (item.name for item in session.get_inputs())
    actual  = np.concatenate([session.run(None, {name: sample[None]})[0] for sample in x])
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(x)).numpy()
    assert np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()
    with pytest.raises(UnsupportedModelError, match="PyTorch cannot export it"):
        popmac.quantize(network, x[:, :1])
    with pytest.raises(InputError, match="not finite"):
        popmac.quantize(network, x * np.nan)


def test_float_networks_are_exported(rng):
    network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 5))
    network.train()(torch.randn(30, 1, 8, 8))
    x = torch.randn(4, 1, 8, 8)
    import onnxruntime
    session = onnxruntime.InferenceSession(export(network, (1, 8, 8)))
    actual  = np.concatenate([session.run(None, {"x": s[None].numpy()})[0] for s in x])
    with torch.no_grad():
        np.testing.assert_allclose(actual, network.eval()(x).numpy(), atol=1e-5)
