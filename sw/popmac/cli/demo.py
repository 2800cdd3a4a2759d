"""Run a trained network on real images on the simulated board and compare it with its reference."""

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


#: Images of which every tensor is compared, not only the result.
TRACED = 4


def add_arguments(parser):
    """Declare the command's arguments."""
    parser.add_argument("--device", default="sim:ulx3s-85f?link=fast", help="default: %(default)s")
    parser.add_argument("--images", type=int, default=120, metavar="N", help="default: %(default)s")


def execute(options):
    """Run the command; 1 if there is a difference."""
    zoo    = files("popmac") / "zoo"
    model  = zoo / "digits.tflite"
    graph  = load(model)
    output = graph.outputs[0]
    with (zoo / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as data:
        images, labels = data["image"], data["label"]
    images, labels = images[:options.images], labels[:options.images]

    with open_device(options.device) as device:
        session = device.load(graph)
        begin   = time.perf_counter()
        results = session.run_many(images)
        seconds = time.perf_counter() - begin
        counters = session.counters
        verification = verify(model, device, {graph.inputs[0]: images[:TRACED]})
        arch = device.arch
    reference = open_reference(model.read_bytes(), graph)
    expected  = np.stack([reference.run({graph.inputs[0]: image[None]})[output][0]
                          for image in progress(images, "reference")])

    same     = int(np.sum(np.all(results == expected, axis=-1)))
    exact    = same == len(images) and verification.bit_exact
    accuracy = float(np.mean(results.argmax(axis=-1) == labels))
    cycles   = counters["cycles"]
    macs     = sum(row["macs"] for row in counters["layers"])
    use      = macs / (cycles * arch.macs_per_cycle)
    summary  = {
        "images": len(images), "accuracy": accuracy, "bit_exact": exact,
        "reference": reference.description, "cycles": cycles,
        "microseconds": cycles / arch.clock_hz * 1e6, "array_use": use,
        "link_bytes_in": counters["link_bytes_in"], "link_bytes_out": counters["link_bytes_out"],
        "seconds": seconds, "layers": counters["layers"],
    }
    if options.json:
        print_json(summary)
        return 0 if exact else 1

    print_table(f"digits.tflite on {options.device}",
                ["layer", "operator", "where", ">cycles", ">MACs", ">array"],
                [(row["name"], row["op"], row["where"], row["cycles"], row["macs"],
                  f"{row['macs'] / (row['cycles'] * arch.macs_per_cycle):.0%}" if row["macs"]
                  else "") for row in counters["layers"]])
    print(f"accuracy:   {accuracy:.2%} of {len(images)} images of handwritten digits")
    print(f"results:    {'bit-exact' if same == len(images) else 'DIFFERENT'}: {same} of "
          f"{len(images)} equal to {reference.description}")
    print(f"tensors:    {verification}")
    print(f"inference:  {cycles:,} cycles, {summary['microseconds']:.1f} us at "
          f"{arch.clock_hz / 1e6:g} MHz, {use:.0%} of the array's MACs; the link takes "
          f"{counters['link_bytes_in']} + {counters['link_bytes_out']} bytes more")
    print(f"simulation: {len(images)} images in {seconds:.1f} s")
    return 0 if exact else 1
