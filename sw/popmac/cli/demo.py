"""Run trained networks on real images on the simulated board and compare them with references."""

import time
from importlib.resources import files

import numpy as np

from ..driver.urls import open_device
from ..models import load
from ..progress import progress
from ..reference import open_reference
from ..verify import verify
from .output import print_json, print_table


__all__ = ["add_arguments", "execute"]


#: Networks for the same images, and their weights.
NETWORKS = {"digits.tflite": "INT8", "digits_mixed.onnx": "INT4 and binary",
            "digits_binary.onnx": "binary"}

#: Images of which every tensor is compared, not only the result.
TRACED = 4


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("--device", default="sim:ulx3s-85f?link=fast", help="default: %(default)s")
    parser.add_argument("--images", type=int, default=120, metavar="N", help="default: %(default)s")


def execute(options):
    """Run the command; 1 if there is a difference."""
    with open_device(options.device) as device:
        results = [_run(name, device, options.images) for name in NETWORKS]
        arch    = device.arch
    exact = all(result["bit_exact"] for result in results)
    if options.json:
        print_json(results)
        return 0 if exact else 1

    first = results[0]
    print_table(f"{first['model']} on {options.device}",
                ["layer", "operator", "where", ">cycles", ">MACs", ">array"],
                [(row["name"], row["op"], row["where"], row["cycles"], row["macs"],
                  f"{row['macs'] / (row['cycles'] * arch.macs_per_cycle):.0%}" if row["macs"]
                  else "") for row in first["layers"]])
    print_table(f"{first['images']} images of handwritten digits",
                ["network", "weights", ">bytes", ">accuracy", ">bit-exact", ">cycles",
                 f">us at {arch.clock_hz / 1e6:g} MHz", ">array"],
                [(r["model"], r["weights"], r["weight_bytes"], f"{r['accuracy']:.2%}",
                  f"{r['equal']} of {r['images']}", r["cycles"], f"{r['microseconds']:.1f}",
                  f"{r['array_use']:.0%}") for r in results])
    for result in results:
        print(f"{result['model']}: accuracy {result['accuracy']:.2%}; "
              f"{'bit-exact' if result['equal'] == result['images'] else 'DIFFERENT'}: "
              f"{result['equal']} of {result['images']} equal to {result['reference']}; "
              f"every tensor of {TRACED}: {result['verification']}")
    print("array: multiply-accumulates in relation to the array's INT8 rate")
    print(f"simulation: {sum(r['images'] for r in results)} inferences in "
          f"{sum(r['seconds'] for r in results):.1f} s")
    return 0 if exact else 1


def _run(name, device, count):
    """Results of one network, as a mapping."""
    model  = files("popmac") / "zoo" / name
    graph  = load(model)
    source, output = graph.inputs[0], graph.outputs[0]
    codes, labels  = _images(count)
    # QONNX networks take pixels from 0 to 16, channels first.
    images = codes if graph.dialect == "tflite" else \
        np.rint((codes.astype(np.float32) + 128) * 16 / 255).transpose(0, 3, 1, 2)

    session  = device.load(graph)
    begin    = time.perf_counter()
    results  = session.run_many(images)
    seconds  = time.perf_counter() - begin
    counters = session.counters
    verification = verify(model, device, {source: images[:TRACED]})
    reference = open_reference(model.read_bytes(), graph)
    expected  = np.stack([reference.run({source: image[None]})[output][0]
                          for image in progress(images, f"reference of {name}")])

    arch   = device.arch
    equal  = int(np.sum(np.all(results == expected, axis=-1)))
    cycles = counters["cycles"]
    macs   = sum(row["macs"] for row in counters["layers"])
    return {
        "model": name, "weights": NETWORKS[name], "images": len(images),
        "weight_bytes": len(session.program.weights) * arch.weight_word_bytes,
        "accuracy": float(np.mean(results.argmax(axis=-1) == labels)), "equal": equal,
        "bit_exact": equal == len(images) and verification.bit_exact,
        "verification": str(verification), "reference": reference.description, "cycles": cycles,
        "microseconds": cycles / arch.clock_hz * 1e6,
        "array_use": macs / (cycles * arch.macs_per_cycle) if cycles else 0.0,
        "link_bytes_in": counters["link_bytes_in"], "link_bytes_out": counters["link_bytes_out"],
        "seconds": seconds, "layers": counters["layers"],
    }


def _images(count):
    """Images as INT8 codes, and what they show."""
    with (files("popmac") / "zoo" / "digits.npz").open("rb") as file, \
            np.load(file, allow_pickle=False) as data:
        return data["image"][:count], data["label"][:count]
