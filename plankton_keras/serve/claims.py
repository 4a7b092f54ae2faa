"""What an encoded patch says of its size, read before anything decodes it."""

import io
import struct

from PIL import Image as PillowImage

from plankton_keras.errors import InputError

# What TensorFlow decodes to gray; the others it refuses.
FORMATS = ("PNG", "JPEG")
_DAMAGED = (OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError, OverflowError, EOFError, struct.error)


def claimed_size(data):
    """Reads the size of an encoded image from its header.

    Args:
        data: Bytes of a PNG or JPEG file.

    Returns:
        `(height, width)` in pixels.

    Raises:
        InputError: If it is no such image, its header is damaged, or it holds several images.

    Example:

    >>> claimed_size(b"P5 1 1 255 0")
    Traceback (most recent call last):
    plankton_keras.errors.InputError: An image cannot be read: cannot identify image file.
    Expected: a whole PNG or JPEG file of one image.
    Fix: send another.
    """
    try:
        with PillowImage.open(io.BytesIO(data), formats=FORMATS) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"it holds {image.n_frames} images")
            return image.height, image.width
    except _DAMAGED as error:
        # Pillow names the object that it read from, which tells a client nothing.
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(" <_io")[0].rstrip(".")
        raise InputError(
            f"An image cannot be read: {reason}.",
            f"a whole {' or '.join(FORMATS)} file of one image.",
            "send another.",
        ) from None
