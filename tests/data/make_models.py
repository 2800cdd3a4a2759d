"""Makes ``operators/``: a tiny model per operator, with inputs and the reference's outputs.

Run as ``PYTHONPATH=sw:tests python tests/data/make_models.py``; needs LiteRT and onnxruntime. Files
are the same each time.
"""

from pathlib import Path

import numpy as np
import quantized_onnx_models
from operator_models import MODELS, random_inputs, random_model

from popmac.compiler.frontends.onnx_file import load_onnx
from popmac.compiler.frontends.tflite import load_tflite
from popmac.reference import open_reference


FOLDER = Path(__file__).parent / "operators"
SAMPLES = 2


def onnx_model(op, rng):
    """File of a model with one operator of onnxruntime."""
    return quantized_onnx_models.random_operator(op, rng).SerializeToString()


def tell_tale(op, make, load):
    """The first small model whose outputs are not all alike."""
    for seed in range(10_000):
        rng   = np.random.default_rng([seed, *op.encode()])
        data  = make(op, rng)
        graph = load(data, op)
        if len(data) > 4000 or sum(np.prod(t.shape) for t in graph.tensors.values()) > 3000:
            continue
        reference = open_reference(data, graph)
        samples   = [random_inputs(graph, rng) for _ in range(SAMPLES)]
        results   = [reference.run(sample) for sample in samples]
        outputs   = np.concatenate([result[name].ravel() for result in results
                                    for name in graph.outputs])
        if len(np.unique(outputs)) >= (3 if op == "ArgMax" else 12):
            return data, graph, samples, results
    raise LookupError(f"no seed gives a model of {op}")


def main():
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for op, make, load, name in (
            *((op, random_model, load_tflite, f"{op}.tflite") for op in MODELS),
            *((op, onnx_model, load_onnx, f"onnx_{op}.onnx")
              for op in quantized_onnx_models.OPERATORS)):
        data, graph, samples, results = tell_tale(op, make, load)
        (FOLDER / name).write_bytes(data)
        arrays = {f"input/{name}": np.stack([sample[name] for sample in samples])
                  for name in graph.inputs}
        arrays.update({f"output/{name}": np.stack([result[name] for result in results])
                       for name in graph.outputs})
        np.savez_compressed((FOLDER / name).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
