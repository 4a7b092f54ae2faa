"""What an image file says of its size, and whether it can hold so much: before memory is taken for it."""

import io
import struct

from PIL import Image as PillowImage

from plankton_keras.errors import InputError

PillowImage.MAX_IMAGE_PIXELS = None
MAX_PIXELS = 2**33
PNG = b"\x89PNG\r\n\x1a\n"
# No format packs more bytes of an image into one of its file: what claims to is cut off, and would fill the memory.
MOST_PACKED = 4096
# Of the file of a picture of one object.
MOST_BYTES = 2**28
COPY = "copy the file again from where it came, or write it again."


def check_size(path, height, width):
    """Refuses a size that no scan has.

    Args:
        path: The file.
        height: Rows, as it says.
        width: Columns, as it says.

    Raises:
        InputError: If it has more than 2**33 pixels, or none.
    """
    if height * width > MAX_PIXELS or not height * width:
        raise InputError(
            f"{path} says that it has {width} x {height} pixels.",
            f"1 to {MAX_PIXELS} pixels.",
            "cut the scan into parts." if height * width else COPY,
        )


def check_packed(path, height, width, bits, size):
    """Refuses what claims more than its file can hold.

    Args:
        path: The file.
        height: Rows, as it says.
        width: Columns, as it says.
        bits: Bits of a pixel.
        size: Bytes of the file.

    Raises:
        InputError: As `check_size`, or if the pixels have more than 4096 times the bytes of the file.
    """
    check_size(path, height, width)
    least = height * width * bits // (8 * MOST_PACKED)
    if size < least:
        raise cut_off(path, f"{size} bytes", f"at least {least} bytes for {width} x {height} pixels")


def of_squares(across, down):
    """Gives the resolution of square pixels, which all measures are of.

    Args:
        across: Dots per inch or any other length from left to right.
        down: The same from top to bottom; 0 if it is not known.

    Returns:
        That across; 0 where the two differ by more than 1 %.

    Example:

    >>> of_squares(2400, 2400), of_squares(2400, 1200)
    (2400, 0)
    """
    return across if not down or abs(across / down - 1) <= 0.01 else 0


def check_png(path, file):
    """Walks through the parts of a PNG, for OpenCV takes the memory that each says it needs.

    Args:
        path: The file, for the message.
        file: The same, open.

    Returns:
        Dots per inch as the file says, or None.

    Raises:
        InputError: If a part reaches beyond the file, the header is not the first and only one, or as `check_packed`.
    """
    size, at, kind, dpi = file.seek(0, io.SEEK_END), len(PNG), b"", None
    while kind != b"IEND":
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        if at + 12 + length > size or (kind == b"IHDR") != (at == len(PNG)):
            raise InputError(
                f"{path} is a damaged PNG: its part {kind!r} at byte {at} is not whole, or not in its place.",
                "a PNG that starts with IHDR and ends with IEND.",
                COPY,
            )
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", file.read(10).ljust(10, b"\0"))
            check_packed(path, height, width, depth * {2: 3, 4: 2, 6: 4}.get(colour, 1), size)
        if kind == b"pHYs" and length == 9:
            across, down, unit = struct.unpack(">IIB", file.read(9))
            # Dots per metre; other units only tell the shape of a pixel.
            dpi = (round(of_squares(across, down) * 0.0254, 2) or None) if unit == 1 else None
        at += 12 + length
    return dpi


def read_picture(path):
    """Reads the file of a small picture, which may be packed so that it is far larger than it looks.

    Args:
        path: A `pathlib.Path` or a `zipfile.Path`.

    Returns:
        Its bytes.

    Raises:
        ValueError: If it has more than 256 MiB; beside what opening and unpacking raise.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return content


def check_picture(path, content):
    """Refuses a small picture that claims more than it can hold.

    Args:
        path: The file, for the message.
        content: Its bytes.

    Raises:
        InputError: If it is no picture, or as `check_packed`.
    """
    if content.startswith(PNG):
        check_png(path, io.BytesIO(content))
        return
    try:
        with PillowImage.open(io.BytesIO(content)) as picture:
            height, width = picture.height, picture.width
    except Exception:  # A damaged header raises errors of many kinds.
        raise InputError(
            f"{path} is no picture.", "JPEG, PNG, TIFF or BMP.", "remove the file or export it anew."
        ) from None
    check_packed(path, height, width, 8, len(content))


def size_in_header(path, format):
    """Reads a header without decoding.

    Args:
        path: The file.
        format: `JPEG` or `GIF`.

    Returns:
        `(height, width)` in pixels.

    Raises:
        InputError: If the header is damaged.
    """
    try:
        with PillowImage.open(path, formats=(format,)) as image:
            return image.height, image.width
    except Exception as error:  # A damaged header raises errors of many kinds.
        raise cut_off(path, first_line(error), f"a whole {format} file") from None


def check_inner_jpeg(data, pixels):
    """Refuses a part of a TIFF that is a JPEG larger than the part: its decoder believes the JPEG.

    Args:
        data: Bytes of the part, or None.
        pixels: Pixels of the part; a JPEG may be padded to more.

    Raises:
        ValueError: If it has more than four times as many.
    """
    try:
        with PillowImage.open(io.BytesIO(data or b""), formats=("JPEG",)) as image:
            claimed = image.height * image.width
    except Exception:  # No JPEG, or a damaged one, which the decoder says itself.
        return
    if claimed > 4 * pixels + 2**16:
        raise ValueError(f"its JPEG claims {claimed} pixels instead of {pixels}")


def cut_off(path, found, expected):
    """Words the error of a file that is cut off.

    Args:
        path: The file.
        found: What there is of it.
        expected: What there should be.

    Returns:
        An `InputError`.
    """
    return InputError(f"{path} is cut off: {found}.", f"{expected}.", COPY)


def first_line(error):
    """Gives the first line of what an error says, without full stop.

    Example:

    >>> first_line(ValueError("no such tag.\\nSee the manual."))
    'no such tag'
    """
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
