"""One image file of any format, read window by window: told from its content and checked for being whole.

Netpbm and uncompressed TIFF are memory-mapped, so that a window costs its own bytes. Compressed TIFF decodes the strips
or tiles that a window touches. Other formats can only be decoded whole: once, into a temporary memory-mapped file.
"""

import contextlib
import logging
import re
import tempfile
from pathlib import Path

import cv2
import numpy as np
import tifffile

from plankton_keras.errors import InputError
from plankton_keras.files import reading, reserve
from plankton_keras.image_claims import (
    COPY,
    PillowImage,
    check_packed,
    check_png,
    check_size,
    cut_off,
    first_line,
    of_squares,
    size_in_header,
)
from plankton_keras.tiff import LOSSY, Segments, check_page, dpi_of, goes_on

log = logging.getLogger(__name__)

MM_PER_INCH = 25.4
# How PNG is written: without filters it is smaller than by default, and twice as fast to write and to read; gray levels
# by runs alone, class indices not (docs/experiments.md).
CLASS_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE)
GRAY_PNG = (*CLASS_PNG, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
_PNG_END = b"IEND\xaeB`\x82"


def pixel_mm(dpi):
    """Gives the side of a pixel in mm; None where the resolution is not known.

    Args:
        dpi: Dots per inch, or None.

    Example:

    >>> round(pixel_mm(2400), 7), pixel_mm(None)
    (0.0105833, None)
    """
    return MM_PER_INCH / dpi if dpi else None


def open_image(path):
    """Opens an image file.

    Args:
        path: The file; its suffix is not looked at.

    Returns:
        An `Image`.

    Raises:
        InputError: If it is missing, of no known format, cut off, or too large, or cannot be read.
        OSError: If there is no room for its pixels.

    Example:

    >>> import tempfile
    >>> from plankton_keras.tiles import Window
    >>> path = Path(tempfile.mkdtemp()) / "scan.png.ppm"
    >>> _ = path.write_bytes(b"P5 # a comment\\n3 2\\n255\\n" + bytes([1, 2, 3, 4, 5, 6]))
    >>> with open_image(path) as image:
    ...     image.format, image.read(Window(1, 0, 1, 3)).tolist()
    ('netpbm', [[4, 5, 6]])
    """
    path = Path(path)
    with reading(path):
        image = _open(path)
    image.spill()
    return image


def _open(path):
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {found}.", "an image file.", "check the path.")
    with open(path, "rb") as file:
        head = file.read(16)
    for magic, opener in _OPENERS.items():
        if re.match(magic, head, re.DOTALL):
            return opener(path)
    raise InputError(
        f"{path} is no image: it starts with {head[:8]!r}.",
        "netpbm (P5, P6), PNG, TIFF, BMP, GIF or JPEG.",
        COPY,
    )


class Image:
    """An open image file.

    Attributes:
        path: The file.
        format: `netpbm`, `png`, `tiff`, `bmp`, `gif` or `jpeg`.
        height: Rows.
        width: Columns.
        channels: 1 for gray, 3 for red green blue, 4 with opacity.
        dtype: uint8 or uint16.
        largest: The value that stands for white; netpbm may have one below that of its type.
        dpi: Dots per inch as the file says, or None.
        lossy: Whether the compression changes pixels.
    """

    def __init__(self, path, format, pixels, dpi=None, lossy=False, inverted=False):
        self.path, self.format, self.dpi, self.lossy = Path(path), format, dpi, lossy
        self._inverted = inverted
        self._pixels = pixels
        # Reading a map beyond the end of its file, which somebody cut off meanwhile, ends the process.
        self._mapped_bytes = pixels.offset + pixels.nbytes if hasattr(pixels, "filename") and pixels.filename else 0
        self.height, self.width = pixels.shape[:2]
        self.channels = pixels.shape[2] if len(pixels.shape) == 3 else 1
        self.dtype = np.dtype(pixels.dtype).newbyteorder("=")
        self.largest = np.iinfo(self.dtype).max

    def read(self, window):
        """Reads a window that lies within the image.

        Args:
            window: A `tiles.Window`.

        Returns:
            An array `(height, width)`, or `(height, width, channels)` in the order red green blue; the machine's byte
            order.
        """
        if not (0 <= window.top < window.bottom <= self.height and 0 <= window.left < window.right <= self.width):
            raise ValueError(f"{window} is not within {self.path}, {self.width} x {self.height} pixels")
        if self._mapped_bytes and _size(self.path) < self._mapped_bytes:
            raise cut_off(self.path, "it changed while it was read", f"{self._mapped_bytes} bytes")
        # A copy, for a view of a memory map would write into what the next window reads.
        pixels = np.array(self._pixels[window.slices], dtype=self.dtype)
        return np.iinfo(self.dtype).max - pixels if self._inverted else pixels

    def spill(self):
        """Moves pixels that were decoded whole into a temporary file without a name; their memory is free again.

        Raises:
            OSError: If there is no room for them.
        """
        if type(self._pixels) is np.ndarray:
            with tempfile.TemporaryFile() as file:
                reserve(file, self._pixels.nbytes)
                mapped = np.memmap(file, self._pixels.dtype, "w+", shape=self._pixels.shape)
                mapped[:] = self._pixels
            self._pixels = mapped

    def close(self):
        """Lets go of the file."""
        if isinstance(self._pixels, Segments):
            self._pixels.close()
        self._pixels = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _size(path):
    """Gives the bytes of a file; 0 where it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _open_netpbm(path):
    """Maps a binary gray or colour netpbm file; 16-bit values are big-endian."""
    with open(path, "rb") as file:
        head = file.read(65536)
    # Blanks and comments may stand between the fields; one blank ends the header.
    gap = rb"(?:\s|#[^\n]*\n)+"
    match = re.match(
        rb"P([56])" + gap + rb"(\d{1,20})" + gap + rb"(\d{1,20})" + gap + rb"(\d{1,20})(?:#[^\n]*\n|\s)", head
    )
    if not match or not 0 < int(match[4]) < 65536:
        raise InputError(f"{path} has a damaged netpbm header.", "P5, width, height and a maximum below 65536.", COPY)
    kind, width, height, largest = (int(number) for number in match.groups())
    check_size(path, height, width)
    dtype, shape = np.dtype(">u2" if largest > 255 else np.uint8), (height, width) + ((3,) if kind == 6 else ())
    expected = match.end() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    found = path.stat().st_size
    if found < expected:
        raise cut_off(
            path, f"{found} bytes", f"{expected} bytes, a header of {match.end()} and {width} x {height} pixels"
        )
    image = Image(path, "netpbm", np.memmap(path, dtype, "r", match.end(), shape))
    image.largest = largest
    return image


def _open_tiff(path):
    """Maps an uncompressed TIFF, or opens the segments of a compressed one."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(tifffile.TiffFile(path))
            page = file.pages[0]
            check_page(path, page)
            if goes_on(file):
                log.warning("%s has several pages: only the first is read", path)
            kind = tifffile.PHOTOMETRIC(page.photometric).name
            options = {"dpi": dpi_of(page), "lossy": page.compression in LOSSY, "inverted": kind == "MINISWHITE"}
            mapped = tifffile.memmap(path, page=0, mode="r") if page.is_memmappable else None
            pixels = Segments(page, stack.pop_all()) if mapped is None else mapped
        except InputError:
            raise
        except Exception as error:  # A damaged directory raises errors of many kinds.
            raise InputError(f"{path} is a damaged TIFF: {first_line(error)}.", "a whole TIFF file.", COPY) from None
    return Image(path, "tiff", pixels, **options)


def _open_png(path):
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        if _PNG_END not in file.read():
            raise cut_off(path, "the end mark is missing", "a PNG that ends with IEND")
        dpi = check_png(path, file)
    return Image(path, "png", _decode(path), dpi)


def _open_jpeg(path):
    with open(path, "rb") as file:
        head = file.read(32)
        file.seek(max(0, path.stat().st_size - 4096))
        tail = file.read()
    if b"\xff\xd9" not in tail:
        raise cut_off(path, "the end mark is missing", "a JPEG that ends with FFD9")
    check_packed(path, *size_in_header(path, "JPEG"), 8, path.stat().st_size)
    dpi = None
    if head[6:11] == b"JFIF\0" and head[13:14] in (b"\1", b"\2"):
        across, down = (int.from_bytes(head[at : at + 2], "big") for at in (14, 16))
        dpi = round(of_squares(across, down) * (1.0 if head[13] == 1 else 2.54), 2)
    return Image(path, "jpeg", _decode(path), dpi if dpi and dpi > 1 else None, lossy=True)


def _open_bmp(path):
    with open(path, "rb") as file:
        head = file.read(54).ljust(54, b"\0")
    dpi, packed = None, False
    if int.from_bytes(head[14:18], "little") >= 40:
        height, width = abs(int.from_bytes(head[22:26], "little", signed=True)), int.from_bytes(head[18:22], "little")
        bits, packed = int.from_bytes(head[28:30], "little"), head[30] in (1, 2)
        across, down = (int.from_bytes(head[at : at + 4], "little") for at in (38, 42))
        dpi = round(of_squares(across, down) * 0.0254, 2) or None
    else:
        # The header of OS/2 has 16 bits for a side.
        width, height, bits = (int.from_bytes(head[at : at + 2], "little") for at in (18, 20, 24))
    # Where runs are packed, one of two bytes may be all of a row.
    check_packed(path, height, width, 1 if packed else 0, path.stat().st_size)
    # Rows are of whole four bytes, the last one perhaps not.
    least = 0 if packed else (height - 1) * (-(-width * bits // 32) * 4)
    expected, size = max(int.from_bytes(head[2:6], "little"), least), path.stat().st_size
    if size < expected:
        raise cut_off(path, f"{size} bytes", f"{expected} bytes, as its header says")
    return Image(path, "bmp", _decode(path), dpi)


def _open_gif(path):
    """Decodes a GIF to the gray levels of its palette, as ZooProcess writes it, or to its colours."""
    check_packed(path, *size_in_header(path, "GIF"), 8, path.stat().st_size)
    try:
        with PillowImage.open(path, formats=("GIF",)) as gif:
            palette = np.array(gif.getpalette() or [], np.uint8).reshape(-1, 3)
            indices = np.asarray(gif)
    except Exception as error:  # A damaged file raises errors of many kinds.
        raise cut_off(path, first_line(error), "a whole GIF file") from None
    if indices.ndim == 2 and len(palette):
        table = np.zeros((256, 3), np.uint8)
        table[: len(palette)] = palette
        used = table[np.flatnonzero(np.bincount(indices.ravel(), minlength=256))]
        indices = table[:, 0][indices] if (used == used[:, :1]).all() else table[indices]
    return Image(path, "gif", indices)


def _decode(path):
    """Decodes a file whole; colours come as red green blue."""
    try:
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise InputError(f"{path} cannot be decoded.", "a whole image file.", COPY)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path} has pixels of {pixels.dtype}.", "8 or 16 bit.", "convert it.")
    if pixels.ndim == 3:
        cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB, dst=pixels)
    return pixels


_OPENERS = {
    rb"P[56][\s#]": _open_netpbm,
    rb"\x89PNG\r\n\x1a\n": _open_png,
    rb"II[*+]\0|MM\0[*+]": _open_tiff,
    rb"BM": _open_bmp,
    rb"GIF8": _open_gif,
    rb"\xff\xd8\xff": _open_jpeg,
}
