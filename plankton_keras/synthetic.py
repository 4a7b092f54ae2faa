"""Draws scans that look like those of a ZooScan, and their masks, so that demo, tests and README need no download.

The objects are drawn, not copied: each is a sheet of absorbance (0 = clear) in a patch of its own, whose transmission
`exp(-absorbance)` multiplies the scan. The truth is therefore known to the pixel, but scores on these scans say nothing
about real plankton.
"""

import csv
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from plankton_keras.errors import SettingError
from plankton_keras.files import whole_file
from plankton_keras.taxa import Taxon

FIRST_DAY = datetime.date(2009, 1, 7)
SMALLEST_SIDE = 256
LIVING_SHARE = 0.66  # of all object pixels: a plain threshold then scores F1 0.8 at best
TOUCHING = 0.1  # chance that an object which falls on another one stays there
MASK_TRANSMISSION = (
    0.93  # an object's pixel is in the mask if, smoothed over 3 x 3 pixels, it lets less than this through
)
SMALLEST_SPECK = 30  # pixels; what is smaller and apart from the object is too small for a mask
BAND = 1024  # rows drawn or written at once, which keeps a scan of 331 megapixels in memory


class DrawnObject(NamedTuple):
    """An object's id, the box of its mask pixels, and their number before later objects were laid over them."""

    id: int
    top: int
    left: int
    height: int
    width: int
    area: int


@dataclass(frozen=True)
class DrawnScan:
    """A scan and its truth.

    Attributes:
        scan: uint8 `(height, width)`, ground about 214 to 236, objects darker.
        mask: uint16 `(height, width)`, ids of `TAXA`; dust is ground.
        objects: List of `DrawnObject` in the order of drawing.
    """

    scan: np.ndarray
    mask: np.ndarray
    objects: list


class _Sheet:
    """A square patch of absorbance, drawn in units of the object's length around its middle, turned at random."""

    def __init__(self, rng, length, reach):
        self.rng, self.length = rng, length
        self.side = int(2 * reach * length) + 16
        self.absorbance = np.zeros((self.side, self.side), np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        self.turn = length * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def fill(self, points, absorbance, soft=1.0):
        """Adds a filled outline; `soft` is the blur of its edge in pixels."""
        self._add(points, absorbance, soft, None)

    def stroke(self, points, width, absorbance, soft=0.8):
        """Adds an open line; below one pixel it gets fainter instead of thinner."""
        self._add(points, absorbance * min(1.0, width * self.length), soft, max(1, round(width * self.length)))

    def _add(self, points, absorbance, soft, thickness):
        pixels = np.asarray(points) @ self.turn + self.side / 2
        margin = 3 * soft + (thickness or 0) + 2
        left, top = np.clip(pixels.min(axis=0) - margin, 0, self.side - 1).astype(int)
        right, bottom = np.clip(pixels.max(axis=0) + margin, 1, self.side).astype(int)
        layer = np.zeros((max(bottom - top, 1), max(right - left, 1)), np.uint8)
        sixteenths = np.rint((pixels - (left, top)) * 16).astype(np.int32)
        if thickness is None:
            cv2.fillPoly(layer, [sixteenths], 255, cv2.LINE_AA, shift=4)
        else:
            cv2.polylines(layer, [sixteenths], False, 255, thickness, cv2.LINE_AA, shift=4)
        blurred = cv2.GaussianBlur(layer.astype(np.float32), (0, 0), soft)
        self.absorbance[top : top + layer.shape[0], left : left + layer.shape[1]] += blurred * (absorbance / 255)

    def grain(self, amount, cell):
        """Makes the absorbance uneven, by a factor about `1 +- amount`, in clouds of `cell` pixels."""
        self.absorbance *= np.exp(amount * _clouds(self.rng, (self.side, self.side), cell))


def _clouds(rng, shape, cell):
    """Draws smooth noise `shape`, float32, about normal, that changes over `cell` pixels."""
    nodes = [int(np.ceil(side / cell)) + 2 for side in shape]
    grid = rng.standard_normal(nodes, dtype=np.float32)
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _curve(start, heading, length, bend):
    """Draws a line of 40 points `(x, y)`; `bend` is its change of heading in radians, one number or 40."""
    headings = heading + (np.linspace(0, bend, 40) if np.isscalar(bend) else bend)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / 39)
    return np.asarray(start) + np.concatenate([np.zeros((1, 2)), np.cumsum(steps[1:], axis=0)])


def _ribbon(axis, half_widths):
    """Gives the outline `(2 * points, 2)` of a band around a line."""
    along = np.gradient(axis, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    offset = across * np.broadcast_to(half_widths, len(axis))[:, None]
    return np.concatenate([axis + offset, (axis - offset)[::-1]])


def _oval(center, radius_x, radius_y=None, wobble=0.0):
    """Gives the outline `(48, 2)` of an ellipse, or of a three-lobed one."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = 1 + wobble * np.sin(3 * angles)
    return np.asarray(center) + np.stack(
        [radius_x * radii * np.cos(angles), (radius_y or radius_x) * radii * np.sin(angles)], axis=1
    )


def _close(points):
    return np.concatenate([points, points[:1]])


# --- the drawings: each takes a generator and a length in pixels and gives a sheet ---


def _draw_copepod(rng, length):
    sheet = _Sheet(rng, length, 1.05)
    place = np.linspace(0, 1, 40)
    breadth = rng.uniform(0.13, 0.19)
    front = np.array([0.42, 0.0])
    body = _curve(front, np.pi, 0.62, rng.normal(0, 0.15))
    outline = _ribbon(body, breadth * np.sin(np.pi * (0.03 + 0.92 * place)) ** 0.6)
    sheet.fill(outline, 0.6, 1.5)
    sheet.stroke(_close(outline), 0.014, 0.25)
    for share in (0.38, 0.52, 0.64, 0.76, 0.88):  # the seams between the segments of the body
        seam = body[int(share * 39)]
        sheet.stroke([seam - (0, breadth * 0.8), seam + (0, breadth * 0.8)], 0.008, 0.2)
    sheet.fill(_ribbon(body[4:34], breadth * rng.uniform(0.2, 0.45) * np.sin(np.pi * place[:30] / place[29])), 0.45, 3)
    sheet.grain(0.22, max(4, length * 0.05))
    tail = body[-1]
    for index in range(4):
        segment = _curve(tail - (0.055 * index, 0), np.pi, 0.048, 0.0)
        sheet.fill(_ribbon(segment, (0.040 - 0.004 * index) * (1 - 0.3 * place**4)), 0.6, 1.2)
    for side in (-1, 1):
        fork = tail + (-0.22, 0.012 * side)
        sheet.stroke(_curve(fork, np.pi - 0.2 * side, 0.07, 0), 0.020, 0.6)
        for spread in (0.1, 0.3, 0.55):
            sheet.stroke(_curve(fork - (0.07, -0.01 * side), np.pi - spread * side, 0.12, 0), 0.007, 0.4)
        antenna = _curve(
            front - (0.05, -0.6 * breadth * side), side * rng.uniform(0.9, 1.7), 0.75, side * rng.uniform(0.4, 1.3)
        )
        sheet.stroke(antenna, 0.017, 0.38)
        for joint in antenna[6::3]:
            sheet.fill(_oval(joint, 0.010), 0.2, 0.8)
    for foot in body[6:34:4]:  # the swimming legs, seen from the side
        leg = foot + (0, breadth * 0.7)
        sheet.stroke(_curve(leg, np.pi / 2 + rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.18), 0.5), 0.013, 0.35)
    return sheet


def _draw_arrow_worm(rng, length):
    sheet = _Sheet(rng, length, 0.68)
    place = np.linspace(0, 1, 40)
    bend = rng.normal(0, 0.45)
    body = _curve((0, 0), -bend / 2, 1.0, bend) - (0.5, 0)
    breadth = rng.uniform(0.032, 0.045)
    profile = breadth * np.clip(np.minimum(0.5 + place * 6, (1.04 - place) * 2.6), 0.05, 1)
    for part, factor in ((slice(15, 25), 1.9), (slice(27, 37), 1.9)):  # the two pairs of fins
        fin = _ribbon(body[part], profile[part] * (1 + (factor - 1) * np.sin(np.linspace(0, np.pi, 10))))
        sheet.fill(fin, 0.09, 1.5)
    outline = _ribbon(body, profile)
    sheet.fill(outline, rng.uniform(0.10, 0.18), 1.5)
    sheet.stroke(_close(outline), 0.006, 0.28)
    sheet.stroke(body[2:29], 0.016, 0.30, 2)
    for side in (-1, 1):
        sheet.fill(_ribbon(body[24:29] + (0, side * breadth * 0.45), breadth * 0.35), 0.4, 2)  # ovaries
    sheet.stroke([body[29] - (0, breadth * 0.9), body[29] + (0, breadth * 0.9)], 0.008, 0.4)
    sheet.grain(0.25, max(5, length * 0.02))
    sheet.fill(_oval(body[0], 0.034, 0.026), 0.9, 1.5)
    for spread in np.linspace(-0.9, 0.9, 6):  # the hooks that catch its prey
        sheet.stroke(_curve(body[0], np.pi + spread, 0.055, -spread), 0.006, 0.6)
    for spread in np.linspace(-0.4, 0.4, 9):
        sheet.stroke(_curve(body[-3], bend / 2 + spread, 0.07, 0), 0.006, 0.2)
    return sheet


def _draw_egg(rng, length):
    sheet = _Sheet(rng, length, 0.6)
    sheet.fill(_oval((0, 0), 0.5, 0.48), 0.22, 1.5)
    sheet.stroke(_close(_oval((0, 0), 0.48, 0.46)), 0.05, 0.35)
    yolk = rng.uniform(0.26, 0.36)
    sheet.fill(_oval(rng.normal(0, 0.04, 2), yolk, yolk * rng.uniform(0.85, 1), 0.04), 0.55, 2.5)
    sheet.grain(0.15, max(3, length * 0.1))
    sheet.fill(_oval(rng.normal(0, 0.12, 2), 0.06), 0.5, 1.2)
    return sheet


def _draw_jelly(rng, length):
    sheet = _Sheet(rng, length, 1.0)
    place = np.linspace(0, 1, 40)
    height = rng.uniform(0.6, 0.95)
    arch = np.stack([0.5 * np.cos(np.pi * place), -height * np.sin(np.pi * place) ** 0.7], axis=1) + (0, 0.3)
    sheet.fill(arch, 0.11, 2.5)
    inner = arch * (0.78, 0.7) + (0, 0.09)
    sheet.fill(inner, 0.05, 2.5)
    sheet.grain(0.5, max(7, length * 0.08))
    sheet.stroke(arch, 0.022, 0.30)
    sheet.stroke(inner, 0.012, 0.18)
    for share in np.linspace(0.12, 0.88, rng.integers(4, 8)):  # radial canals, from the top to the rim
        rim = (0.48 * np.cos(np.pi * share), 0.3)
        sheet.stroke(np.array([(0, 0.3 - height), (rim[0] * 0.8, 0.3 - height * 0.6), rim]), 0.014, 0.22)
    sheet.fill(_oval((0, 0.3 - height * 0.45), 0.07, 0.18), 0.5, 2.5)
    for side in (-1, 1):
        sheet.fill(_oval((0.16 * side, 0.3 - height * 0.55), 0.06, 0.09), 0.4, 2.5)
    for start in np.linspace(-0.48, 0.48, rng.integers(9, 17)):
        sheet.fill(_oval((start, 0.3), 0.022), 0.6, 1.2)
        waves = 0.6 * np.sin(place * rng.uniform(5, 10) + rng.uniform(0, 6))
        sheet.stroke(_curve((start, 0.3), np.pi / 2 - start * 0.6, rng.uniform(0.2, 0.55), waves), 0.011, 0.28)
    return sheet


def _draw_diatom_chain(rng, length):
    sheet = _Sheet(rng, length, 0.7)
    bend = rng.normal(0, 0.6)
    axis = _curve((0, 0), -bend / 2, 1.0, bend) - (0.5, 0)
    count = int(np.clip(length / rng.uniform(12, 18), 5, 30))
    breadth = float(np.clip(9 / length, 0.03, 0.08)) * rng.uniform(0.9, 1.4)
    for index in range(count):
        here = 39 * (index + 0.5) / count
        middle = np.stack([np.interp(here + step, np.arange(40), axis[:, 1 - 1]) for step in (-0.1, 0.1)])
        rise = np.stack([np.interp(here + step, np.arange(40), axis[:, 1]) for step in (-0.1, 0.1)])
        heading = np.arctan2(rise[1] - rise[0], middle[1] - middle[0])
        cell = _curve((middle[0], rise[0]), heading, 0.8 / count, 0.0)
        outline = _ribbon(cell, breadth)
        sheet.fill(outline, 0.28, 0.9)
        sheet.stroke(_close(outline), 0.012, 0.45)
        sheet.fill(_oval(cell[20], 0.22 / count, breadth * 0.55), 0.5, 1.0)
        for side in (-1, 1):
            sheet.stroke(_curve(cell[0], heading + side * rng.uniform(1.2, 1.9), 5 * breadth, 0.4), 0.006, 0.28)
    return sheet


def _draw_appendicularian(rng, length):
    sheet = _Sheet(rng, length, 0.8)
    place = np.linspace(0, 1, 40)
    waves = rng.uniform(0.5, 1.0) * np.sin(place * rng.uniform(4, 7) + rng.uniform(0, 6))
    tail = _curve((-0.3, 0), rng.uniform(-0.5, 0.5), 0.95, waves)
    sheet.fill(_ribbon(tail, 0.06 * np.sin(np.pi * (0.08 + 0.9 * place)) ** 0.5), 0.16, 1.5)
    sheet.fill(_ribbon(tail, 0.022 * (1.05 - place)), 0.45, 1.2)
    sheet.stroke(_close(_ribbon(tail, 0.06 * np.sin(np.pi * (0.08 + 0.9 * place)) ** 0.5)), 0.008, 0.16)
    sheet.fill(_oval((-0.36, 0), 0.13, 0.085, 0.06), 0.5, 1.5)
    sheet.grain(0.2, max(4, length * 0.04))
    sheet.fill(_oval((-0.29, 0.01), 0.05, 0.045), 0.8, 1.5)
    sheet.fill(_oval((-0.43, 0.0), 0.035, 0.05), 0.4, 2)
    return sheet


def _draw_detritus(rng, length):
    sheet = _Sheet(rng, length, 0.75)
    shape = sheet.absorbance.shape
    row, column = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    far = np.hypot(row, column * rng.uniform(1, 1.9))
    lumps = 0.55 * _clouds(rng, shape, length * 0.25) + 0.35 * _clouds(rng, shape, length * 0.08)
    ragged = lumps + 0.3 * _clouds(rng, shape, 5) + 0.25 * _clouds(rng, shape, 2.5)
    thick = np.clip(0.9 + 0.6 * ragged - 2.2 * far, 0, 0.9) * rng.uniform(0.5, 0.9)
    grains = np.exp(0.5 * _clouds(rng, shape, 3))
    sheet.absorbance[:] = cv2.GaussianBlur(thick * grains, (0, 0), 0.8)
    return sheet


def _draw_fibre(rng, length):
    sheet = _Sheet(rng, length, 0.65)
    waves = rng.normal(0, 1.2) * np.linspace(-1, 1, 40) + 0.35 * _clouds(rng, (40, 1), 10)[:, 0]
    line = _curve((0, 0), 0, 1.0, waves)
    sheet.stroke(
        line - (line.min(axis=0) + line.max(axis=0)) / 2, rng.uniform(3.5, 6.5) / length, rng.uniform(0.45, 1.0)
    )
    return sheet


def _draw_pellet(rng, length):
    sheet = _Sheet(rng, length, 0.65)
    axis = _curve((-0.5, 0), 0, 1.0, rng.normal(0, 0.15))
    sheet.fill(_ribbon(axis, rng.uniform(0.12, 0.18)), rng.uniform(0.9, 1.5), 1.2)
    sheet.grain(0.05, 4)
    return sheet


def _draw_bubble(rng, length):
    sheet = _Sheet(rng, length, 0.65)
    sheet.fill(_oval((0, 0), 0.5), -0.03, 1.5)
    sheet.stroke(_close(_oval((0, 0), 0.5)), rng.uniform(4, 7) / length, rng.uniform(0.7, 1.3), 1.0)
    return sheet


class _Kind(NamedTuple):
    """A taxon, how many of its group it makes up, its median length in pixels, and its drawing."""

    taxon: Taxon
    share: float
    length: float
    draw: Callable


_KINDS = (
    _Kind(Taxon(1, "detritus", False), 0.40, 70, _draw_detritus),
    _Kind(Taxon(2, "fibre", False), 0.25, 170, _draw_fibre),
    _Kind(Taxon(3, "faecal pellet", False), 0.20, 50, _draw_pellet),
    _Kind(Taxon(4, "bubble", False), 0.15, 44, _draw_bubble),
    _Kind(Taxon(8, "Copepoda", True), 0.42, 95, _draw_copepod),
    _Kind(Taxon(9, "Chaetognatha", True), 0.12, 270, _draw_arrow_worm),
    _Kind(Taxon(10, "egg", True), 0.16, 38, _draw_egg),
    _Kind(Taxon(11, "Cnidaria", True), 0.10, 85, _draw_jelly),
    _Kind(Taxon(12, "Bacillariophyceae chain", True), 0.10, 120, _draw_diatom_chain),
    _Kind(Taxon(13, "Appendicularia", True), 0.10, 120, _draw_appendicularian),
)
TAXA = (Taxon(0, "ground", False), *(kind.taxon for kind in _KINDS))


def _placeable(kind, side, rng):
    """Draws one object, at most as long as 0.45 of the scan's shorter `side`.

    Returns:
        Its transmission, float32 in 0..1, and its mask, bool, both cut to the object's box and 4 pixels around it.
    """
    length = min(kind.length * rng.lognormal(0, 0.3), 0.45 * side)
    sheet = kind.draw(rng, max(length, 30.0))
    transmission = np.minimum(np.exp(-sheet.absorbance * rng.uniform(0.85, 1.25)), 1.03)
    dark = (cv2.blur(transmission, (3, 3)) < MASK_TRANSMISSION).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    kept = statistics[:, cv2.CC_STAT_AREA] >= SMALLEST_SPECK
    kept[0] = False
    truth = kept[labels]
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    box = slice(max(rows[0] - 4, 0), rows[-1] + 5), slice(max(columns[0] - 4, 0), columns[-1] + 5)
    return transmission[box], truth[box]


def _draw_ground(scan, rng):
    """Fills the scan with pale ground: a slow gradient, streaks along the sensor's rows, noise, band by band."""
    height, width = scan.shape
    level = rng.uniform(219, 231)
    # Nodes at least 1500 pixels apart: a gradient that a small scan shows little of, as a cut-out of a real one would.
    slow = rng.normal(0, 2.5, (2 + height // 1500, 2 + width // 1500)).astype(np.float32)
    streaks = cv2.GaussianBlur(rng.normal(0, 1.5, (height, 1)).astype(np.float32), (1, 9), 1.5)
    columns = np.linspace(0, slow.shape[1] - 1, width, dtype=np.float32)[None]
    for top in range(0, height, BAND):
        rows = np.arange(top, min(top + BAND, height), dtype=np.float32)[:, None]
        shape = len(rows), width
        where = rows * np.float32((slow.shape[0] - 1) / (height - 1))
        band = cv2.remap(slow, np.repeat(columns, len(rows), 0), np.repeat(where, width, 1), cv2.INTER_LINEAR)
        band += level + streaks[top : top + BAND] + 1.3 * rng.standard_normal(shape, dtype=np.float32)
        scan[top : top + BAND] = np.clip(np.rint(band), 0, 255)


def _dim(scan, top, left, transmission):
    """Multiplies a part of the scan by a transmission, in place."""
    part = scan[top : top + transmission.shape[0], left : left + transmission.shape[1]]
    part[:] = np.minimum(np.rint(part * transmission), 255)


def _draw_dust(scan, rng):
    """Strews specks of 1 to 6 pixels over the scan; they are too small for a mask."""
    motes = []
    for _ in range(48):
        sheet = _Sheet(rng, 6.0, 0.5)
        sheet.stroke(_curve((-0.2, 0), 0, rng.uniform(0.1, 0.9) ** 2, rng.normal(0, 1)), rng.uniform(0.15, 0.5), 1.0)
        motes.append(np.exp(-sheet.absorbance * rng.uniform(0.2, 1.4)))
    side = motes[0].shape[0]
    for index in rng.integers(0, len(motes), scan.size // 9000):
        _dim(scan, rng.integers(0, scan.shape[0] - side), rng.integers(0, scan.shape[1] - side), motes[index])


def _find_place(mask, truth, rng):
    """Chooses the top left corner of an object, mostly where there is none yet; None if it fits nowhere."""
    room = mask.shape[0] - truth.shape[0], mask.shape[1] - truth.shape[1]
    if min(room) < 1:
        return None
    for _ in range(20):
        top, left = rng.integers(0, room[0]), rng.integers(0, room[1])
        taken = mask[top : top + truth.shape[0], left : left + truth.shape[1]] > 0
        if not taken.any() or (rng.random() < TOUCHING and (taken & truth).mean() < 0.2 * truth.mean()):
            return top, left
    return None


def draw_scan(height, width, seed, coverage=0.04):
    """Draws a scan and its mask; the same arguments give the same bytes.

    Args:
        height: Height in pixels, at least 256.
        width: Width in pixels, at least 256.
        seed: A whole number, or several, as `numpy.random.default_rng` takes them.
        coverage: Share of the pixels that objects cover, living or not, above 0 and up to 0.3.

    Returns:
        A `DrawnScan`.

    Raises:
        SettingError: If the scan is too small or the coverage is out of range.

    Example:

    >>> drawn = draw_scan(height=512, width=640, seed=1)
    >>> drawn.scan.shape, drawn.scan.dtype, drawn.mask.dtype
    ((512, 640), dtype('uint8'), dtype('uint16'))
    >>> bool(drawn.scan[drawn.mask > 0].mean() < drawn.scan[drawn.mask == 0].mean() - 20)
    True
    """
    if min(height, width) < SMALLEST_SIDE:
        raise SettingError(
            f"A scan of {width} x {height} pixels.", f"{SMALLEST_SIDE} or more a side.", "draw it larger."
        )
    if not 0 < coverage <= 0.3:
        raise SettingError(f"coverage is {coverage}.", "above 0 and at most 0.3.", "leave it at 0.04.")
    rng = np.random.default_rng(seed)
    scan, mask, objects = np.empty((height, width), np.uint8), np.zeros((height, width), np.uint16), []
    _draw_ground(scan, rng)
    _draw_dust(scan, rng)
    groups = {living: [kind for kind in _KINDS if kind.taxon.living == living] for living in (False, True)}
    drawn = {False: 0, True: 0}
    for _ in range(50 + scan.size // 1000):  # bounded, though the scan is covered long before
        if sum(drawn.values()) >= coverage * scan.size:
            break
        living = drawn[True] <= LIVING_SHARE * sum(drawn.values())
        kind = groups[living][rng.choice(len(groups[living]), p=[kind.share for kind in groups[living]])]
        transmission, truth = _placeable(kind, min(height, width), rng)
        place = _find_place(mask, truth, rng)
        if place is None:
            continue
        _dim(scan, *place, transmission)
        mask[place[0] : place[0] + truth.shape[0], place[1] : place[1] + truth.shape[1]][truth] = kind.taxon.id
        rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
        box = place[0] + rows[0], place[1] + columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1
        objects.append(DrawnObject(kind.taxon.id, *(int(value) for value in box), int(truth.sum())))
        drawn[living] += objects[-1].area
    return DrawnScan(scan, mask, objects)


def write_netpbm(path, array):
    """Writes binary netpbm (P5), whole or not at all.

    Args:
        path: The file.
        array: `(height, width)`, uint8 in 0..255, or uint16 in 0..65535, which netpbm stores with the high byte first.
    """
    height, width = array.shape
    stored, largest = (np.dtype(np.uint8), 255) if array.dtype == np.uint8 else (np.dtype(">u2"), 65535)
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(f"P5\n{width} {height}\n{largest}\n".encode())
        for top in range(0, height, BAND):
            file.write(array[top : top + BAND].astype(stored).tobytes())


def write_scans(folder, train=3, val=1, test=1, size=(2048, 1536), seed=0):
    """Writes scans, masks and `taxa.csv` in the layout of the ZooScan challenge; files that exist are kept.

    Args:
        folder: Where `train`, `val`, `test` and `taxa.csv` are to be.
        train: Number of scans to train on.
        val: Number of scans to validate on.
        test: Number of scans to test on.
        size: `(width, height)` of a scan in pixels.
        seed: A whole number; each scan is drawn from it and its place in the row.

    Returns:
        The paths of the scans, in the order of their days, two weeks apart.

    Example:

    >>> import tempfile
    >>> [path.name for path in write_scans(tempfile.mkdtemp(), train=2, val=0, test=0, size=(256, 256))]
    ['rg20090107_scan.png.ppm', 'rg20090121_scan.png.ppm']
    """
    folder = Path(folder)
    if not (folder / "taxa.csv").exists():
        with whole_file(folder / "taxa.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
            rows = [(taxon.id, taxon.name, int(taxon.living)) for taxon in TAXA]
            csv.writer(file).writerows([("id", "name", "living"), *rows])
    scans = []
    for index, split in enumerate(["train"] * train + ["val"] * val + ["test"] * test):
        stem = f"rg{FIRST_DAY + datetime.timedelta(days=14 * index):%Y%m%d}"
        paths = [folder / split / f"{stem}_{what}.png.ppm" for what in ("scan", "mask")]
        scans.append(paths[0])
        if all(path.exists() for path in paths):
            continue
        drawn = draw_scan(size[1], size[0], [seed, index])
        for path, array in zip(paths, (drawn.scan, drawn.mask), strict=True):
            if not path.exists():
                write_netpbm(path, array)
    return scans
