"""Windows over a scan: what is read, with context, and what is owned. Every pixel is owned exactly once.

Pure geometry in pixels, `top, left, bottom, right` with the last two exclusive. Serves slicing, prediction and scoring.
"""

import itertools
from dataclasses import dataclass

from plankton_keras.errors import SettingError


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels.

    Example:

    >>> window = Window(top=10, left=20, height=5, width=6)
    >>> window.bottom, window.right, window.slices
    (15, 26, (slice(10, 15, None), slice(20, 26, None)))
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self):
        """The row after the last."""
        return self.top + self.height

    @property
    def right(self):
        """The column after the last."""
        return self.left + self.width

    @property
    def slices(self):
        """Index of the window in an array `(height, width, ...)` of the scan."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, other):
        """Gives this window in the coordinates of another one that contains it.

        Example:

        >>> Window(10, 20, 5, 6).within(Window(8, 16, 32, 32))
        Window(top=2, left=4, height=5, width=6)
        """
        return Window(self.top - other.top, self.left - other.left, self.height, self.width)

    def grown(self, margin, height, width):
        """Gives the window with a margin around it, as far as a scan of that height and width has pixels there.

        Example:

        >>> Window(10, 20, 5, 6).grown(12, height=20, width=100)
        Window(top=0, left=8, height=20, width=30)
        """
        top, left = max(0, self.top - margin), max(0, self.left - margin)
        bottom, right = min(height, self.bottom + margin), min(width, self.right + margin)
        return Window(top, left, bottom - top, right - left)


@dataclass(frozen=True, order=True)
class Tile:
    """A window to read and the part of it whose result counts.

    Attributes:
        read: Window of the tile's size; on a scan smaller than that it reaches beyond the scan.
        own: The part of `read` that no other tile owns.
    """

    read: Window
    own: Window


def spread(length, size, context=0):
    """Spreads segments of one size evenly over a line, so that neighbours overlap by at least twice the context.

    The last segment ends where the line ends: nothing is dropped and nothing beyond the line is read, unless the line
    is shorter than one segment.

    Args:
        length: Length of the line.
        size: Length of a segment.
        context: What a segment must see beyond what it owns.

    Returns:
        A list of `(start, own_start, own_stop)`, in order.

    Raises:
        SettingError: If the context leaves a segment nothing to own.

    Example:

    >>> spread(length=10, size=4)
    [(0, 0, 4), (3, 4, 7), (6, 7, 10)]
    >>> spread(length=10, size=6, context=1)
    [(0, 0, 5), (4, 5, 10)]
    """
    if length <= size and context >= 0:
        return [(0, 0, length)]
    step = size - 2 * context
    if step <= 0 or context < 0:
        raise SettingError(
            f"A tile of {size} pixels with a context of {context} owns nothing.",
            f"a context of at most {max((size - 1) // 2, 0)} pixels.",
            "choose larger tiles or less context.",
        )
    count = -(-(length - 2 * context) // step)
    starts = [(length - size) * index // (count - 1) for index in range(count)]
    # The border between two neighbours lies in the middle of what both read.
    borders = [0, *((left + size + right + 1) // 2 for left, right in itertools.pairwise(starts)), length]
    return list(zip(starts, borders, borders[1:], strict=False))


def fitting(length, largest, context, multiple):
    """Finds the smallest segments that cover a line without being more than the largest would have to be.

    Args:
        length: Length of the line.
        largest: Largest length of a segment, a multiple of `multiple`.
        context: What a segment must see beyond what it owns.
        multiple: What the length of a segment must be a multiple of.

    Returns:
        The length of a segment.

    Raises:
        SettingError: As `spread`.

    Example, where two segments of 2048 would read 1024 pixels twice:

    >>> fitting(length=3072, largest=2048, context=64, multiple=64)
    1600
    """
    count = len(spread(length, largest, context))
    return multiple * -(-(length + 2 * context * (count - 1)) // (count * multiple))


def tile_rows(height, width, size, context=0):
    """Covers a scan with tiles, row by row.

    Args:
        height: Height of the scan in pixels.
        width: Width of the scan in pixels.
        size: Height and width of the windows read.
        context: Pixels that each tile reads beyond what it owns, except at the scan's edge.

    Returns:
        A list of rows from top to bottom, each a list of `Tile` from left to right. The tiles of a row share `top` and
        `height`.

    Example:

    >>> rows = tile_rows(height=100, width=300, size=(128, 128), context=16)
    >>> len(rows), len(rows[0])
    (1, 3)
    >>> sum(tile.own.height * tile.own.width for row in rows for tile in row)
    30000
    """
    columns = spread(width, size[1], context)
    return [
        [
            Tile(Window(top, left, *size), Window(own_top, own_left, own_bottom - own_top, own_right - own_left))
            for left, own_left, own_right in columns
        ]
        for top, own_top, own_bottom in spread(height, size[0], context)
    ]
