import pytest
import torch
from torch import nn

from popmac.errors import InputError
from popmac.quantize.train.layers import (
    BinaryActivation,
    InputCodes,
    IntegerActivation,
    QuantConv2d,
    QuantLinear,
)
from popmac.quantize.train.search import choose, sensitivities
from popmac.quantize.train.training import accuracy, train


pytestmark = pytest.mark.filterwarnings("ignore") # those of qonnx and onnxruntime


def few_bits(kinds):
    a, b, c, d = kinds
    return nn.Sequential(
        InputCodes(4), QuantConv2d(1, 8, 3, a), nn.BatchNorm2d(8), IntegerActivation(2),
        QuantConv2d(8, 16, 3, b), nn.BatchNorm2d(16), IntegerActivation(2), nn.Flatten(),
        QuantLinear(256, 16, c), nn.BatchNorm1d(16), IntegerActivation(2), QuantLinear(16, 2, d))


@pytest.fixture(scope="module")
def trained():
    """A float network for images whose left or right half is brighter, and images."""
    torch.manual_seed(1)
    labels  = torch.randint(2, (400,))
    images  = torch.randint(0, 12, (400, 1, 8, 8)).float()
    images[:, :, :, :4] += 2 * (labels == 0).float().reshape(-1, 1, 1, 1)
    images[:, :, :, 4:] += 2 * (labels == 1).float().reshape(-1, 1, 1, 1)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16),
        nn.ReLU(), nn.Flatten(), nn.Linear(256, 16), nn.BatchNorm1d(16), nn.ReLU(),
        nn.Linear(16, 2))
    train(network, images, labels, epochs=6, seed=1)
    assert accuracy(network, images, labels) > 0.95
    return network, images, labels


def test_sensitivities(trained):
    network, images, _ = trained
    before = {name: values.clone() for name, values in network.state_dict().items()}
    found  = sensitivities(network, images)
    assert len(found) == 4
    for noises in found:
        assert noises["int8"] < noises["int4"] < noises["binary"]
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    # One layer, done by hand.
    with torch.no_grad():
        expected = network(images)
        weights  = network[7].weight.clone()
        network[7].weight.copy_(weights.sign() * weights.abs().mean(dim=1, keepdim=True))
        noise    = (network(images) - expected).square().sum() / expected.square().sum()
        network[7].weight.copy_(weights)
    assert found[2]["binary"] == pytest.approx(float(noise), rel=1e-3)


def test_budgets_are_kept(trained):
    network, images, labels = trained
    whole = choose(network, few_bits, images, labels, "ulx3s-85f", size=10**6)
    assert whole.kinds == ("int8",) * 4 and len(whole.steps) == 1
    assert whole.bytes == 72 + 1152 + 4096 + 32
    small = choose(network, few_bits, images, labels, "tiny", size=2000)
    assert small.bytes <= 2000 and small.kinds[0] == small.kinds[3] == "int8"
    assert [step[2] for step in small.steps] == sorted((s[2] for s in small.steps), reverse=True)
    assert small.steps[-1][:3] == (small.kinds, small.cycles, small.bytes)
    least = choose(network, few_bits, images, labels, "tiny", least=0.9)
    assert least.accuracy >= 0.9 and least.bytes < whole.bytes


@pytest.mark.slow
def test_cycles_are_saved():
    # Wide enough that the binary engine of this target is faster than its array.
    torch.manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 512),
                            nn.ReLU(), nn.Linear(512, 2))
    images, labels = torch.randint(0, 2, (50, 1, 4, 4)).float(), torch.randint(2, (50,))

    def make(kinds):
        a, b, c = kinds
        return nn.Sequential(
            InputCodes(1, 0.5), nn.Flatten(), QuantLinear(16, 512, a), BinaryActivation(512),
            QuantLinear(512, 512, b), BinaryActivation(512), QuantLinear(512, 2, c))

    whole = choose(network, make, images, labels, "ulx3s-85f", size=10**6)
    fast  = choose(network, make, images, labels, "ulx3s-85f", cycles=whole.cycles // 2)
    assert fast.cycles <= whole.cycles // 2 and fast.kinds[1] != "int8"


def test_the_ends_stay(trained):
    network, images, labels = trained
    inner = (1152 + 4096) // 8 + 72 + 32
    found = choose(network, few_bits, images, labels, "tiny", size=inner)
    assert found.kinds == ("int8", "binary", "binary", "int8") and found.bytes == inner
    with pytest.raises(InputError, match="no choice keeps the budget; the last one takes"):
        choose(network, few_bits, images, labels, "tiny", size=inner - 1)
    freed = choose(network, few_bits, images, labels, "tiny", size=inner - 1, free_ends=True)
    assert freed.bytes < inner
    with pytest.raises(InputError, match="give a budget"):
        choose(network, few_bits, images, labels, "tiny")
