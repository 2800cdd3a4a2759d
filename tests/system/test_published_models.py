"""Networks of MLPerf Tiny on the simulated board, tensor by tensor."""

from pathlib import Path

import numpy as np
import pytest

import popmac
from popmac.verify import verify


MODELS = Path(__file__).parents[3] / "shared" / "models"


@pytest.mark.slow
@pytest.mark.parametrize("target, name, cycles", [
    ("ulx3s-85f", "ad_ad01_int8", 1_600), ("ulx3s-85f", "ic_pretrainedResnet_quant", 60_000),
    ("ulx3s-85f", "kws_kws_ref_model", 20_000), ("ulx3s-85f", "vww_vww_96_int8", 55_000),
    ("icebreaker", "kws_kws_ref_model", 600_000),
])
def test_bit_exact(rng, target, name, cycles):
    path  = MODELS / f"{name}.tflite"
    graph = popmac.load(path)
    (x,)  = (graph.tensors[n] for n in graph.inputs)
    shape = (7, *x.shape[1:])
    inputs = np.concatenate([
        rng.integers(-128, 128, shape), rng.choice([-128, 127], shape),
        np.broadcast_to(np.reshape([-128, -127, -1, 0, 1, 126, 127], (7,) + (1,) * len(shape[1:])),
                        shape),
    ]).astype(np.int8)
    with popmac.open(f"sim:{target}?link=fast") as device:
        result = verify(path, device, {x.name: inputs})
        assert result.bit_exact, result
        program = popmac.compile(graph, target=target)
        session = device.load(program)
        session.run(inputs[0])
        assert session.counters["cycles"] <= cycles
    assert program.macs_on_device == program.macs
    assert result.inputs == 21
