"""An object laid with its major axis level: how symmetric it is, and how its thickness varies."""

from dataclasses import dataclass

import cv2
import numpy as np

from plankton_keras.measures.outlines import fill_holes, hull_points
from plankton_keras.measures.shapes import fit_ellipse


@dataclass(frozen=True)
class Levelled:
    """An object with its centroid in the middle of a square canvas and its major axis level.

    Attributes:
        canvas: bool `(height, width)`, the middle of the canvas; what is left out of it holds nothing.
        side: Side of the whole canvas, 1.2 times the diagonal of the object's box.
        area: The object's pixels, holes included.
    """

    canvas: np.ndarray
    side: int
    area: int


def largest_part(mask):
    """Gives the largest of the 8-connected parts, holes included in the comparison, in a box without a margin.

    Args:
        mask: bool `(height, width)`, not empty.

    Returns:
        bool `(height, width)`.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(fill_holes(mask).astype(np.uint8), connectivity=8)
    label = int(stats[1:, cv2.CC_STAT_AREA].argmax()) + 1
    left, top, width, height = stats[label, :4]
    box = (slice(top, top + height), slice(left, left + width))
    return mask[box] & (labels[box] == label)


def level(body):
    """Turns an object so that its major axis is level.

    Args:
        body: bool `(height, width)` in a box without a margin, may have holes.

    Returns:
        A `Levelled`.
    """
    filled = fill_holes(body)
    x, y, _, _, angle = fit_ellipse(filled)
    side = max(int(1.2 * np.hypot(*body.shape)), 1)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    reach = np.abs((hull_points(filled) - [x, y]) @ turn.T).max(axis=0) + 1
    # As much of the canvas as the object reaches, about the same middle.
    width, height = (side - 2 * max(0, (side - 1) // 2 - int(np.ceil(each))) for each in reach)
    shift = np.array([(width - 1) / 2, (height - 1) / 2]) - turn @ [x, y]
    matrix = np.concatenate([turn, shift[:, None]], axis=1)
    gray = cv2.warpAffine(body.astype(np.uint8) * 255, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return Levelled(gray >= 128, side, int(np.count_nonzero(filled)))


def symmetry(levelled):
    """Compares an object with its mirror images.

    Pixels of the canvas that are equal in both, ground or object, halved and divided by the object's area. The ground
    counts, so that the value depends on the canvas and not only on the symmetry; it is greatest, half of the canvas
    by the area, for an object that equals its mirror image.

    Args:
        levelled: A `Levelled`.

    Returns:
        `(symetrieh, symetriev)`: mirrored left to right, and top to bottom.

    Example, where all of the canvas of 5 x 5 is equal, and the area is 9:

    >>> [round(value, 4) for value in symmetry(level(np.ones((3, 3), bool)))]
    [1.3889, 1.3889]
    """
    canvas = levelled.canvas
    unequal = [np.count_nonzero(canvas ^ mirrored) for mirrored in (canvas[:, ::-1], canvas[::-1])]
    return tuple(float((levelled.side**2 - each) / 2 / levelled.area) for each in unequal)


def thickness_ratio(levelled, step, legacy=False):
    """Divides the greatest by the mean thickness of a levelled object.

    The thickness of a column is that of the first run of pixels from the top.

    Args:
        levelled: A `Levelled`.
        step: Every so many columns of the canvas one is measured; ZooProcess takes one each 0.1 mm.
        legacy: With ZooProcess' error: the last column is left out of the greatest and the sum, but the sum is divided
            by it as well.

    Returns:
        The ratio, 1 where no column was measured.

    Example, every second column of a canvas of 9 x 9, of which three are in the object; 3 / ((3 + 3) / 3) is 1.5:

    >>> bar = level(np.ones((3, 7), bool))
    >>> thickness_ratio(bar, step=2), thickness_ratio(bar, step=2, legacy=True)
    (1.0, 1.5)
    """
    offset = (levelled.side - levelled.canvas.shape[1]) // 2
    columns = levelled.canvas[:, -offset % step :: step]
    columns = np.pad(columns[:, columns.any(axis=0)], [(0, 1), (0, 0)])
    if not columns.shape[1]:
        return 1.0
    first = columns.argmax(axis=0)
    ended = ~columns & (np.arange(len(columns))[:, None] > first)
    runs = ended.argmax(axis=0) - first
    used = runs[:-1] if legacy else runs
    return float(used.max() / (used.sum() / len(runs))) if len(used) else 1.0
