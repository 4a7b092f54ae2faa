"""What an image from a client says of itself, and whether it is within the limits, before a pixel is decoded."""

import functools
import io
import reprlib
import struct
from dataclasses import dataclass

import tifffile
from PIL import Image as PillowImage

from plankton_keras.errors import InputError
from plankton_keras.images import COPY, open_image

# Suffix by the first bytes of a file.
SUFFIXES = {
    b"P5": ".pgm",
    b"P6": ".ppm",
    b"\x89PNG": ".png",
    b"II": ".tif",
    b"MM": ".tif",
    b"BM": ".bmp",
    b"GIF8": ".gif",
    b"\xff\xd8\xff": ".jpg",
}
# Compressions of TIFF whose decoders stop where the part should end; the others believe what the data says.
BOUNDED = (1, 5, 8, 32946, 32773, 34925, 50000)
# Bytes that may be decoded at once for each pixel that a scan may have.
BYTES = 2
# What TensorFlow decodes to gray; other patches it refuses.
PATCH_FORMATS = ("PNG", "JPEG")
_DAMAGED = (OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError, OverflowError, EOFError, struct.error)


@dataclass(frozen=True)
class Claim:
    """What a file says of itself.

    Attributes:
        suffix: Suffix of its format.
        height: Rows.
        width: Columns.
        bytes: What its decoder needs at once, about; 0 where nothing is decoded.
    """

    suffix: str
    height: int
    width: int
    bytes: int = 0


def suffix_of(path):
    """Tells the format of an image file by its first bytes.

    Args:
        path: The file; its suffix is not looked at.

    Returns:
        The suffix that it should have.

    Raises:
        InputError: If it is of no known format.
    """
    with open(path, "rb") as file:
        head = file.read(8)
    suffix = next((suffix for magic, suffix in SUFFIXES.items() if head.startswith(magic)), None)
    if suffix is None:
        raise InputError(
            "The file is no image that is known.", "netpbm (P5, P6), PNG, TIFF, BMP, GIF or JPEG.", "send a scan."
        )
    return suffix


def read_claim(path):
    """Reads what an image file says of itself.

    Args:
        path: The file; its suffix is not looked at.

    Returns:
        A `Claim`.

    Raises:
        InputError: If it is of no known format or its header is damaged.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "upload"
    >>> _ = path.write_bytes(b"P5 3 2 255 " + bytes(6))
    >>> read_claim(path)
    Claim(suffix='.pgm', height=2, width=3, bytes=0)
    """
    suffix = suffix_of(path)
    if suffix in (".pgm", ".ppm"):
        # Mapped, not decoded, so that opening it costs nothing.
        with open_image(path) as image:
            return Claim(suffix, image.height, image.width)
    try:
        return Claim(suffix, *(_of_tiff(path) if suffix == ".tif" else _of_others(path)))
    except _DAMAGED as error:
        raise InputError(f"The header of the file is damaged: {_reason(error)}.", "a whole image file.", COPY) from None


def _of_tiff(path):
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        number = functools.partial(_number, page)
        compression, height, width = number("compression"), number("imagelength"), number("imagewidth")
        if compression not in BOUNDED:
            raise InputError(
                f"The file is a TIFF of compression {compression}.",
                "none, LZW, deflate, PackBits, LZMA or Zstandard.",
                "save it again with one of these.",
            )
        part = number("tilelength") * number("tilewidth") if page.is_tiled else number("rowsperstrip") * width
        needed = part * number("samplesperpixel") * -(-number("bitspersample") // 8)
        return height, width, 0 if compression == 1 else needed


def _number(page, name):
    """Gives what a TIFF says under a name; where that is damaged, it may be several numbers, or a text."""
    value = getattr(page, name)
    if not isinstance(value, int):
        raise ValueError(f"its {name} is {reprlib.repr(value)}")
    return value


def _of_others(path):
    # Pillow reads the header only until pixels are asked for.
    with PillowImage.open(path, formats=("PNG", "BMP", "GIF", "JPEG")) as image:
        height, width, needed = image.height, image.width, len(image.getbands())
        is_png, has_palette = image.format == "PNG", image.mode == "P"
    with open(path, "rb") as file:
        deep = is_png and file.read(25)[24] == 16
    # Colours of a palette are decoded to three or four bytes.
    return height, width, height * width * (4 if has_palette else needed) * (2 if deep else 1)


def check_scan(path, megapixels):
    """Checks that a file is an image within the limit.

    Args:
        path: The file.
        megapixels: How many pixels it may have at most, in millions.

    Returns:
        A `Claim`.

    Raises:
        InputError: If it is none, its header is damaged, or it is too large.
    """
    claim = read_claim(path)
    if claim.height * claim.width > megapixels * 1e6:
        raise InputError(
            f"The scan says that it has {claim.width} x {claim.height} pixels.",
            f"at most {megapixels:g} megapixels.",
            "cut the scan into parts.",
        )
    if claim.bytes > BYTES * megapixels * 1e6:
        raise InputError(
            f"The scan takes {claim.bytes / 1e9:.1f} GB of memory to decode.",
            f"at most {BYTES * megapixels / 1e3:g} GB.",
            "save it as gray levels, or as TIFF or netpbm without compression.",
        )
    return claim


def claimed_size(data):
    """Reads the size of an encoded patch from its header.

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
        with PillowImage.open(io.BytesIO(data), formats=PATCH_FORMATS) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"it holds {image.n_frames} images")
            return image.height, image.width
    except _DAMAGED as error:
        raise InputError(
            f"An image cannot be read: {_reason(error)}.",
            f"a whole {' or '.join(PATCH_FORMATS)} file of one image.",
            "send another.",
        ) from None


def _reason(error):
    # Pillow names the object that it read from, which tells a client nothing.
    return (str(error).splitlines() or [type(error).__name__])[0].split(" <_io")[0].rstrip(".")
