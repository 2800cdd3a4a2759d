"""Tensors as images."""

__all__ = ["RESHAPES", "image_shape"]


#: Operators that only read a tensor in another shape.
RESHAPES = ("Reshape", "ExpandDims", "Squeeze")


def image_shape(shape):
    """Height, width and channels of a tensor of ``shape``, or ``None`` if it is not one image.

    The last axis is that of the channels; axes that are missing in front have size 1.
    """
    if len(shape) > 4 or (len(shape) == 4 and shape[0] != 1) or 0 in shape:
        return None
    height, width, channels = (1, 1, 1, *shape)[-3:]
    return height, width, channels
