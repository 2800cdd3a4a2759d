"""Images of another size."""

import tflite

from .call import reader


@reader("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def _resize(call):
    kind, op = {
        "RESIZE_BILINEAR":         (tflite.ResizeBilinearOptions, "ResizeBilinear"),
        "RESIZE_NEAREST_NEIGHBOR": (tflite.ResizeNearestNeighborOptions, "ResizeNearestNeighbor"),
    }[call.op]
    options = call.options(kind)
    x, size = call.operands(2)
    batch, *_, channels = call.image(x).shape
    size = call.constant(size, "size")
    call.require(len(size) == 2 and min(size) > 0, f"it has size {size}")
    corners, centers = bool(options.AlignCorners()), bool(options.HalfPixelCenters())
    call.require(not (op == "ResizeBilinear" and corners and centers),
                 "it cannot align both corners and the centres of pixels")
    call.makes((batch, *size, channels))
    call.copies(x)
    return op, [x], {"size": size, "align_corners": corners, "half_pixel_centers": centers}
