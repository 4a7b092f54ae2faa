"""Vignettes as EcoTaxa shows them: an object alone on white, with a border and a bar of 1 mm, and the way back.

A picture carries where its object stands in a text of its PNG. EcoTaxa keeps files as they are, so that what comes back
from it can be cut to the object again, whatever was drawn around it.
"""

import io
import re
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

GROUND = 255
# As ZooProcess draws them (ZooProcess-lib, Extractor.py): a border of a fifth of the box on each side, and below it
# a footer with a bar that starts at MARGIN.
BORDER, FOOTER, MARGIN = 0.2, 31, 10
BAR, TEXT = 85, 0
FONT = {"fontFace": cv2.FONT_HERSHEY_SIMPLEX, "fontScale": 0.4, "thickness": 1}
# The PNG's text that holds top, left, height and width of the object.
KEYWORD = "plankton_keras object"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A vignette.

    Attributes:
        pixels: uint8 `(height, width)`, ground at 255.
        box: `(top, left, height, width)` of the object in it, in pixels.
    """

    pixels: np.ndarray
    box: tuple


def vignette(gray, mask, pixel_mm=None):
    """Draws an object alone: white outside of it, a border of 20 % of its bounding box on each side.

    Args:
        gray: uint8 `(height, width)`, gray levels of the scan around the object.
        mask: `(height, width)`, the object where it is not 0; not empty.
        pixel_mm: Side of a pixel in mm, for the footer of 31 rows with its bar of 1 mm; None draws no footer.

    Returns:
        A `Picture`, wide enough for the bar.

    Example:

    >>> picture = vignette(np.zeros((20, 30), np.uint8), np.ones((20, 30)))
    >>> picture.pixels.shape, picture.box
    ((28, 42), (4, 6, 20, 30))
    >>> vignette(np.zeros((20, 30), np.uint8), np.ones((20, 30)), pixel_mm=0.01).pixels.shape
    (59, 120)
    """
    left, top, width, height = cv2.boundingRect((np.asarray(mask) != 0).astype(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    full = round(height * (1 + 2 * BORDER)), round(width * (1 + 2 * BORDER))
    if pixel_mm is not None:
        (text_width, _), _ = cv2.getTextSize("1 mm", **FONT)
        bar = max(1, round(1 / pixel_mm))
        full = full[0] + FOOTER, max(full[1], max(bar, text_width) + 2 * MARGIN)
    pixels = np.full(full, GROUND, np.uint8)
    inner = full[0] - (FOOTER if pixel_mm is not None else 0)
    place = (inner - height) // 2, (full[1] - width) // 2
    pixels[place[0] : place[0] + height, place[1] : place[1] + width] = np.where(mask, gray, GROUND)[box]
    if pixel_mm is not None:
        pixels[-6:-4, MARGIN : MARGIN + bar] = BAR
        cv2.putText(pixels, "1 mm", (MARGIN, full[0] - 10), color=TEXT, lineType=cv2.LINE_AA, **FONT)
    return Picture(pixels, (*place, height, width))


def encode_picture(picture):
    """Encodes a vignette as PNG of 8 bit that knows where its object stands.

    Args:
        picture: A `Picture`.

    Returns:
        Bytes.
    """
    said, file = PngInfo(), io.BytesIO()
    said.add_text(KEYWORD, " ".join(str(int(number)) for number in picture.box))
    PillowImage.fromarray(picture.pixels).save(file, "PNG", pnginfo=said)
    return file.getvalue()


def cut_to_object(pixels, content):
    """Takes border and footer off a picture that `encode_picture` wrote; leaves others as they are.

    Args:
        pixels: uint8 `(height, width)`, the decoded picture.
        content: Bytes of its file.

    Returns:
        uint8 `(height, width)`.

    Example:

    >>> gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> picture = vignette(gray, gray > 1, pixel_mm=0.01)
    >>> cut_to_object(picture.pixels, encode_picture(picture)).tolist()
    [[255, 255, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    """
    if not content.startswith(PNG) or KEYWORD.encode() not in content:
        return pixels
    try:
        with PillowImage.open(io.BytesIO(content), formats=("PNG",)) as picture:
            said = picture.info.get(KEYWORD, "")
    except Exception:  # What OpenCV could read, Pillow refuses by errors of many kinds.
        return pixels
    found = re.fullmatch(r"(\d{1,9}) (\d{1,9}) ([1-9]\d{0,8}) ([1-9]\d{0,8})", said)
    top, left, height, width = map(int, found.groups()) if found else (0, 0, *pixels.shape)
    inside = top + height <= pixels.shape[0] and left + width <= pixels.shape[1]
    return pixels[top : top + height, left : left + width] if inside else pixels
