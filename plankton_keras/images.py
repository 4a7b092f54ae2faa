"""One image file of any format, read window by window: told from its content and checked for being whole.

Netpbm and uncompressed TIFF are memory-mapped, so that a window costs its own bytes. Compressed TIFF decodes the strips
or tiles that a window touches. Other formats can only be decoded whole: once, into a temporary memory-mapped file.
"""

import contextlib
import operator
import re
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import tifffile

from plankton_keras.errors import InputError
from plankton_keras.files import reserve
from plankton_keras.image_claims import (
    COPY,
    PillowImage,
    check_inner_jpeg,
    check_packed,
    check_png,
    check_size,
    cut_off,
    first_line,
    size_in_header,
)

MM_PER_INCH = 25.4
# Strips or tiles of a compressed TIFF that are kept decoded, so that a band of rows decodes each once.
KEPT_BYTES = 256 * 2**20
# TIFF's numbers for JPEG, old JPEG, JPEG 2000 and WebP.
LOSSY = (6, 7, 33003, 33005, 34712, 50001)
# Of the bits of a pixel, how many are held by 1/4096 of them at least: LZW, JPEG, deflate, PackBits; LZMA, Zstandard.
PACKED_BITS = {5: 8, 7: 8, 8: 8, 32946: 8, 32773: 8, 34925: 1, 50000: 1}
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
        InputError: If it is missing, of no known format, cut off, or too large.

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

    def close(self):
        """Lets go of the file."""
        if isinstance(self._pixels, _Segments):
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
    return Image(path, "netpbm", np.memmap(path, dtype, "r", match.end(), shape))


def _open_tiff(path):
    """Maps an uncompressed TIFF, or opens the segments of a compressed one."""
    with contextlib.ExitStack() as stack:
        try:
            page = stack.enter_context(tifffile.TiffFile(path)).pages[0]
            _check_tiff(path, page)
            kind = tifffile.PHOTOMETRIC(page.photometric).name
            options = {"dpi": _tiff_dpi(page), "lossy": page.compression in LOSSY, "inverted": kind == "MINISWHITE"}
            mapped = tifffile.memmap(path, page=0, mode="r") if page.is_memmappable else None
            pixels = _Segments(page, stack.pop_all()) if mapped is None else mapped
        except InputError:
            raise
        except Exception as error:  # A damaged directory raises errors of many kinds.
            raise InputError(f"{path} is a damaged TIFF: {first_line(error)}.", "a whole TIFF file.", COPY) from None
    return Image(path, "tiff", pixels, **options)


def _check_tiff(path, page):
    """Refuses a page that is cut off, or of a kind that is not read."""
    size, shape = path.stat().st_size, page.shape
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if len(page.dataoffsets) != len(page.databytecounts) or not ends or max(ends) > size:
        raise cut_off(path, f"{size} bytes", f"at least {max(ends, default=0)} bytes, as its directory says")
    kind = getattr(page.photometric, "name", page.photometric)
    whole_bytes, together = (
        page.dtype in (np.uint8, np.uint16),
        page.planarconfig == 1 and shape[2:] in ((), (3,), (4,)),
    )
    if not (whole_bytes and together and kind in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR")):
        raise InputError(
            f"{path} is a TIFF of {page.dtype}, {kind}, with shape {shape}.",
            "8 or 16 bit, gray or colour.",
            "convert it.",
        )
    check_size(path, *map(operator.index, shape[:2]))
    height, width = _segment(page)
    count = -(-page.imagelength // height) * -(-page.imagewidth // width)
    if len(ends) < count and not page.is_memmappable:
        raise cut_off(path, f"{len(ends)} parts", f"{count} parts of {width} x {height} pixels")
    check_packed(path, height, width, PACKED_BITS.get(page.compression, 0) if max(page.databytecounts) else 0, size)


def _segment(page):
    """Gives the height and width of a strip or tile of a TIFF page."""
    if page.is_tiled:
        return operator.index(page.tilelength), operator.index(page.tilewidth)
    return min(operator.index(page.rowsperstrip), page.imagelength), page.imagewidth


def _tiff_dpi(page):
    """Reads the resolution of a TIFF page, which may be in inches or centimetres."""
    x, unit = page.tags.get("XResolution"), page.tags.get("ResolutionUnit")
    scale = {2: 1.0, 3: 2.54}.get(int(unit.value) if unit else 2)
    if x is None or scale is None or not x.value[0] or not x.value[1]:
        return None
    dpi = x.value[0] / x.value[1] * scale
    return round(dpi, 2) if dpi > 1 else None


class _Segments:
    """The strips or tiles of a compressed TIFF page, decoded when a window touches them; the last ones are kept."""

    def __init__(self, page, opened):
        self._page, self._opened = page, opened
        self.shape, self.dtype = page.shape, page.dtype
        self._height, self._width = _segment(page)
        self._columns = -(-page.imagewidth // self._width)
        self._kept, self._bytes, self._lock = OrderedDict(), 0, threading.Lock()

    def __getitem__(self, slices):
        rows, columns = slices
        out = np.empty((rows.stop - rows.start, columns.stop - columns.start, *self.shape[2:]), self.dtype)
        for down in range(rows.start // self._height, -(-rows.stop // self._height)):
            for across in range(columns.start // self._width, -(-columns.stop // self._width)):
                segment = self._decoded(down * self._columns + across)
                top, left = down * self._height, across * self._width
                first, last = max(rows.start, top), min(rows.stop, top + segment.shape[0])
                begin, end = max(columns.start, left), min(columns.stop, left + segment.shape[1])
                out[first - rows.start : last - rows.start, begin - columns.start : end - columns.start] = segment[
                    first - top : last - top, begin - left : end - left
                ]
        return out

    def _decoded(self, index):
        with self._lock:
            return self._kept_or_decoded(index)

    def _kept_or_decoded(self, index):
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        try:
            segment = self._decode(index)
        except Exception as error:  # Each codec raises errors of its own kind.
            name = self._page.parent.filehandle.path
            raise InputError(
                f"{name}: part {index} cannot be decoded: {first_line(error)}.", "a whole TIFF file.", COPY
            ) from None
        self._kept[index] = segment
        self._bytes += segment.nbytes
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return segment

    def _decode(self, index):
        page, file = self._page, self._page.parent.filehandle
        file.seek(page.dataoffsets[index])
        # A part of no bytes is empty ground, which the decoder wants to be told as None.
        data = file.read(page.databytecounts[index]) or None
        tables = {}
        if page.compression in LOSSY:
            check_inner_jpeg(data, self._height * self._width)
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        segment, _, shape = page.decode(data, index, **tables)
        if segment is None:
            segment = np.zeros(shape, self.dtype)
        segment = segment[0, : shape[1], : shape[2]]
        segment = segment if len(self.shape) == 3 else segment[..., 0]
        down, across = divmod(index, self._columns)
        rest = self.shape[0] - down * self._height, self.shape[1] - across * self._width
        wanted = (min(self._height, rest[0]), min(self._width, rest[1]), *self.shape[2:])
        if segment[: wanted[0], : wanted[1]].shape != wanted:
            raise ValueError(f"it has the shape {segment.shape} instead of {wanted}")
        return segment

    def close(self):
        self._kept.clear()
        self._opened.close()


def _open_png(path):
    with open(path, "rb") as file:
        head = file.read(4096)
        file.seek(max(0, path.stat().st_size - 64))
        tail = file.read()
    if _PNG_END not in tail:
        raise cut_off(path, "the end mark is missing", "a PNG that ends with IEND")
    with open(path, "rb") as file:
        check_png(path, file)
    dpi, at = None, head.find(b"pHYs")
    if at > 0 and head[at + 12 : at + 13] == b"\1":
        dpi = round(int.from_bytes(head[at + 4 : at + 8], "big") * 0.0254, 2)
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
        dpi = round(int.from_bytes(head[14:16], "big") * (1.0 if head[13] == 1 else 2.54), 2)
    return Image(path, "jpeg", _decode(path), dpi if dpi and dpi > 1 else None, lossy=True)


def _open_bmp(path):
    with open(path, "rb") as file:
        head = file.read(54).ljust(54, b"\0")
    dpi, packed = None, False
    if int.from_bytes(head[14:18], "little") >= 40:
        height, width = abs(int.from_bytes(head[22:26], "little", signed=True)), int.from_bytes(head[18:22], "little")
        bits, packed = int.from_bytes(head[28:30], "little"), head[30] in (1, 2)
        dpi = round(int.from_bytes(head[38:42], "little") * 0.0254, 2) or None
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
    return Image(path, "gif", _spill(indices))


def _decode(path):
    """Decodes a file whole, into a temporary memory-mapped file; colours come as red green blue."""
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
    return _spill(pixels)


def _spill(pixels):
    """Moves an array into a temporary file without a name; its memory is free again."""
    with tempfile.TemporaryFile() as file:
        reserve(file, pixels.nbytes)
        mapped = np.memmap(file, pixels.dtype, "w+", shape=pixels.shape)
        mapped[:] = pixels
    return mapped


_OPENERS = {
    rb"P[56][\s#]": _open_netpbm,
    rb"\x89PNG\r\n\x1a\n": _open_png,
    rb"II[*+]\0|MM\0[*+]": _open_tiff,
    rb"BM": _open_bmp,
    rb"GIF8": _open_gif,
    rb"\xff\xd8\xff": _open_jpeg,
}
