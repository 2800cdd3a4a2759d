"""Images of another size."""

import numpy as np

from ..arithmetic import round_away
from .registry import operator


__all__ = ["nearest_pixels", "resize_bilinear", "resize_nearest_neighbor"]


def _weights(size, new_size, align_corners, half_pixel_centers):
    """Both neighbours of each new position, and 1024ths of the weight of the second."""
    step = (1024 * size + new_size // 2) // new_size
    if align_corners and new_size > 1:
        step = (1024 * (size - 1) + (new_size - 1) // 2) // (new_size - 1)
    position = step * np.arange(new_size)
    if half_pixel_centers:
        position = position + step // 2 - 512
    # C's division rounds towards zero: positions above -1024 belong to pixel 0.
    first  = np.maximum(np.sign(position) * (np.abs(position) // 1024), 0)
    upper  = position + 1023
    second = np.minimum(np.sign(upper) * (np.abs(upper) // 1024), size - 1)
    return first, second, position - 1024 * first


@operator("ResizeBilinear", "int8 -> int8")
def resize_bilinear(output, x, *, size, align_corners, half_pixel_centers):
    """Weighted mean of four neighbours, in 1024ths each way, halves away from zero.

    TensorFlow Lite's ``reference_ops::ResizeBilinearInteger``.
    """
    values  = x.values.astype(np.int64)
    options = align_corners, half_pixel_centers
    top,  bottom, down  = _weights(values.shape[1], size[0], *options)
    left, right,  along = _weights(values.shape[2], size[1], *options)
    down, along = down[:, None, None], along[:, None]
    rows  = values[:, top] * (1024 - down) + values[:, bottom] * down
    total = rows[:, :, left] * (1024 - along) + rows[:, :, right] * along
    return (np.sign(total) * ((np.abs(total) + 2**19) >> 20)).astype(np.int8)


def nearest_pixels(shape, *, size, align_corners, half_pixel_centers):
    """Rows and columns of an image of ``shape`` that those of an image of ``size`` are."""
    def nearest(old, new):
        between  = align_corners and new > 1
        scale    = np.float32(old - 1) / np.float32(new - 1) if between else \
                   np.float32(old) / np.float32(new)
        position = (np.arange(new, dtype=np.float32)
                    + np.float32(0.5 if half_pixel_centers else 0)) * scale
        index    = round_away(position) if align_corners else np.floor(position)
        return np.clip(index.astype(np.int64), 0, old - 1)

    return tuple(nearest(*sizes) for sizes in zip(shape, size))


@operator("ResizeNearestNeighbor")
def resize_nearest_neighbor(output, x, **options):
    """Nearest pixel of the input. TensorFlow Lite's ``reference_ops::ResizeNearestNeighbor``."""
    rows, columns = nearest_pixels(x.values.shape[1:3], **options)
    return x.values[:, rows][:, :, columns]
