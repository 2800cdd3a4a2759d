"""Views of an image as the taps of a moving window see it."""

import numpy as np


__all__ = ["taps"]


def taps(image, kernel, *, strides, padding, dilation=(1, 1), fill=0):
    """Views of ``image``, one per tap of the window, row by row.

    Parameters
    ----------
    image : ndarray, shape (batch, height, width, channels)
    kernel : (int, int)
        Rows and columns of the window.
    strides, dilation : (int, int)
        Down and to the right.
    padding : ((int, int), (int, int))
        Rows above and below, columns to the left and to the right.
    fill : int
        Value outside of the image.

    Returns
    -------
    list of ndarray, shape (batch, rows, columns, channels)
        View ``ky * kernel[1] + kx`` holds what tap ``(ky, kx)`` reads for each position.
    """
    padded = np.pad(image, ((0, 0), *padding, (0, 0)), constant_values=fill)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    height, width = [size - e + 1 for size, e in zip(padded.shape[1:3], extent)]
    return [padded[:, y:y + height:strides[0], x:x + width:strides[1]]
            for y in range(0, extent[0], dilation[0])
            for x in range(0, extent[1], dilation[1])]
