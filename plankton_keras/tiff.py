"""A page of a TIFF file: whether it can be read, its resolution, and its parts, decoded as windows ask for them."""

import contextlib
import operator
import threading
from collections import OrderedDict

import numpy as np

from plankton_keras.errors import InputError
from plankton_keras.image_claims import (
    COPY,
    check_inner_jpeg,
    check_packed,
    check_size,
    cut_off,
    first_line,
    of_squares,
)

# Strips or tiles of a compressed TIFF that are kept decoded, so that a band of rows decodes each once.
KEPT_BYTES = 256 * 2**20
# TIFF's numbers for JPEG, old JPEG, JPEG 2000 and WebP.
LOSSY = (6, 7, 33003, 33005, 34712, 50001)
# Of the bits of a pixel, how many are held by 1/4096 of them at least: LZW, JPEG, deflate, PackBits; LZMA, Zstandard.
PACKED_BITS = {5: 8, 7: 8, 8: 8, 32946: 8, 32773: 8, 34925: 1, 50000: 1}


def check_page(path, page):
    """Refuses a page that is cut off, or of a kind that is not read.

    Args:
        path: The file.
        page: Its `tifffile.TiffPage`.

    Raises:
        InputError: If it is.
    """
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


def goes_on(file):
    """Tells whether a TIFF has a second page as large as the first, which is no smaller copy for looking at.

    Args:
        file: An open `tifffile.TiffFile`.
    """
    # What is wrong with a second page is no matter of the first.
    with contextlib.suppress(Exception):
        return file.pages[1].shape == file.pages[0].shape
    return False


def dpi_of(page):
    """Reads the resolution of a page, which may be in inches or centimetres.

    Args:
        page: A `tifffile.TiffPage`.

    Returns:
        Dots per inch, or None, also where pixels are not square.
    """
    x, y, unit = (page.tags.get(name) for name in ("XResolution", "YResolution", "ResolutionUnit"))
    scale = {2: 1.0, 3: 2.54}.get(int(unit.value) if unit else 2)
    if x is None or scale is None or not x.value[0] or not x.value[1]:
        return None
    down = y.value[0] / y.value[1] if y is not None and y.value[1] else 0
    dpi = of_squares(x.value[0] / x.value[1], down) * scale
    return round(dpi, 2) if dpi > 1 else None


class Segments:
    """The strips or tiles of a compressed page, decoded when a window touches them; the last ones are kept.

    Args:
        page: The `tifffile.TiffPage`.
        opened: What to close at the end.
    """

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
        """Lets go of the file."""
        self._kept.clear()
        self._opened.close()
