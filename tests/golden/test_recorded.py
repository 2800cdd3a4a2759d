"""The recorded models of ``tests/data/operators``, without the runtime that recorded them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.compiler.frontends.tflite import load_tflite
from popmac.golden import layers


FOLDER = Path(__file__).parents[1] / "data" / "operators"


def compare(path, load=load_tflite):
    graph    = load(path.read_bytes(), path.stem)
    recorded = np.load(path.with_suffix(".npz"))
    count    = len(recorded[f"input/{graph.inputs[0]}"])
    assert count > 0
    for sample in range(count):
        values = layers.run(graph, {name: recorded[f"input/{name}"][sample]
                                    for name in graph.inputs})
        for name in graph.outputs:
            np.testing.assert_array_equal(values[name], recorded[f"output/{name}"][sample])


@pytest.mark.parametrize("op", sorted(path.stem for path in FOLDER.glob("*.tflite")))
def test_recorded_outputs(op):
    compare(FOLDER / f"{op}.tflite")


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.onnx")))
def test_recorded_outputs_of_onnxruntime(name):
    compare(FOLDER / f"{name}.onnx", load_onnx)


def test_the_reference_runtime_is_not_needed():
    script = "\n".join([
        "import sys",
        "sys.modules['ai_edge_litert'] = None",
        f"sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}",
        "from test_recorded import FOLDER, compare",
        "for path in sorted(FOLDER.glob('*.tflite')): compare(path)",
    ])
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
