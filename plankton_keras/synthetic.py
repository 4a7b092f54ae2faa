"""Draws scans that look like those of a ZooScan, and their masks, so that demo, tests and README need no download.

Each object is drawn as a sheet of absorbance (0 = clear) whose transmission `exp(-absorbance)` multiplies the scan. The
truth is therefore known to the pixel, but scores on these scans say nothing about real plankton.
"""

import csv
import datetime
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from plankton_keras.errors import SettingError
from plankton_keras.files import whole_file
from plankton_keras.taxa import Taxon

FIRST_DAY = datetime.date(2009, 1, 7)
SMALLEST_SIDE = 256
LIVING_SHARE = 0.68  # of all object pixels: a plain threshold then scores F1 0.81 at best
TOUCHING = 0.1  # chance that an object which falls on another one stays there
MASK_TRANSMISSION = 0.93  # a pixel is in the mask if, smoothed over 3 x 3 pixels, less than this comes through
SMALLEST_SPECK = 30  # pixels; what is smaller and apart from the object is too small for a mask
MARGIN = 4  # pixels of soft edge around the box of an object
BAND = 1024  # rows drawn or written at once, which keeps a scan of 331 megapixels in memory


# The box is that of the object's mask pixels; the area is their number before later objects were laid over them.
DrawnObject = namedtuple("DrawnObject", "id top left height width area")


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
        self.rng, self.length, self.side = rng, length, int(2 * reach * length) + 16
        self.absorbance = np.zeros((self.side, self.side), np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        self.turn = length * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def fill(self, outline, absorbance, soft=1.0, rim=(0, 0)):
        """Adds an area; `soft` is the blur of its edge in pixels, `rim` the width and absorbance of its outline."""
        self._add(outline, absorbance, soft, None)
        self.stroke(outline, *rim)

    def stroke(self, line, width, absorbance, soft=0.8):
        """Adds a line; below one pixel it gets fainter instead of thinner."""
        self._add(line, absorbance * min(1.0, width * self.length), soft, max(1, round(width * self.length)))

    def grain(self, amount, cell):
        """Makes what stands uneven, by a factor about `1 +- amount`, in clouds of `cell` of a length, at least 4 px."""
        self.absorbance *= np.exp(amount * _clouds(self.rng, self.absorbance.shape, max(4, cell * self.length)))

    def _add(self, points, absorbance, soft, thickness):
        pixels = np.asarray(points) @ self.turn + self.side / 2
        margin = 3 * soft + (thickness or 0) + 2
        left, top = np.clip(pixels.min(axis=0) - margin, 0, self.side - 1).astype(int)
        right, bottom = np.clip(pixels.max(axis=0) + margin, (left + 1, top + 1), self.side).astype(int)
        layer = np.zeros((bottom - top, right - left), np.uint8)
        sixteenths = np.rint((pixels - (left, top)) * 16).astype(np.int32)
        if thickness is None:
            cv2.fillPoly(layer, [sixteenths], 255, cv2.LINE_AA, shift=4)
        else:
            cv2.polylines(layer, [sixteenths], False, 255, thickness, cv2.LINE_AA, shift=4)
        blurred = cv2.GaussianBlur(layer.astype(np.float32), (0, 0), soft)
        self.absorbance[top:bottom, left:right] += blurred * (absorbance / 255)


def _clouds(rng, shape, cell):
    """Draws smooth noise `shape`, float32, about normal, that changes over `cell` pixels."""
    grid = rng.standard_normal([int(np.ceil(side / cell)) + 2 for side in shape], dtype=np.float32)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _curve(start, heading, length, bend=0.0):
    """Draws a line of 40 points `(x, y)`; `bend` is its change of heading in radians, one number or 40."""
    headings = heading + (np.linspace(0, bend, 40) if np.isscalar(bend) else bend)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / 39)
    return np.asarray(start) + np.cumsum(steps, axis=0) - steps[0]


def _ribbon(axis, half_widths):
    """Gives the closed outline of a band around a line."""
    along = np.gradient(axis, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    offset = across * np.broadcast_to(half_widths, len(axis))[:, None]
    return np.concatenate([axis + offset, (axis - offset)[::-1], (axis + offset)[:1]])


def _oval(center, radius_x, radius_y):
    """Gives the closed outline of an ellipse."""
    angles = np.linspace(0, 2 * np.pi, 49)
    return np.asarray(center) + np.stack([radius_x * np.cos(angles), radius_y * np.sin(angles)], axis=1)


PLACE = np.linspace(0, 1, 40)  # where the points of a curve are, from its start to its end


def _draw_copepod(sheet, rng):
    breadth = rng.uniform(0.13, 0.19)
    body = _curve((0.42, 0), np.pi, 0.62, rng.normal(0, 0.15))
    outline = _ribbon(body, breadth * np.sin(np.pi * (0.03 + 0.92 * PLACE)) ** 0.6)
    sheet.fill(outline, 0.6, 1.5, rim=(0.014, 0.25))
    for seam in body[15:36:5]:  # between the segments of the body
        sheet.stroke(np.add(seam, [(0, -breadth * 0.8), (0, breadth * 0.8)]), 0.008, 0.2)
    sheet.fill(_ribbon(body[4:34], breadth * rng.uniform(0.2, 0.45) * np.sin(np.linspace(0, np.pi, 30))), 0.45, 3)
    sheet.grain(0.22, 0.05)
    for index in range(4):  # the abdomen
        segment = _curve(body[-1] - (0.055 * index, 0), np.pi, 0.048)
        sheet.fill(_ribbon(segment, (0.040 - 0.004 * index) * (1 - 0.3 * PLACE**4)), 0.6, 1.2)
    for side in (-1, 1):
        fork = np.add(body[-1], (-0.22, 0.012 * side))
        sheet.stroke(_curve(fork, np.pi - 0.2 * side, 0.07), 0.020, 0.6)
        for spread in (0.1, 0.3, 0.55):
            sheet.stroke(_curve(fork - (0.07, -0.01 * side), np.pi - spread * side, 0.12), 0.007, 0.4)
        shoulder, heading = (0.37, 0.6 * breadth * side), side * rng.uniform(0.9, 1.7)
        sheet.stroke(_curve(shoulder, heading, 0.75, side * rng.uniform(0.4, 1.3)), 0.017, 0.45)
    for foot in np.add(body[6:34:4], (0, breadth * 0.7)):
        sheet.stroke(_curve(foot, rng.uniform(1.8, 2.5), rng.uniform(0.1, 0.18), 0.5), 0.013, 0.35)


def _draw_arrow_worm(sheet, rng):
    bend, breadth = rng.normal(0, 0.45), rng.uniform(0.032, 0.045)
    body = _curve((-0.5, 0), -bend / 2, 1.0, bend)
    profile = breadth * np.clip(np.minimum(0.5 + PLACE * 6, (1.04 - PLACE) * 2.6), 0.05, 1)
    for part in (slice(15, 25), slice(27, 37)):  # the two pairs of fins
        sheet.fill(_ribbon(body[part], profile[part] * (1 + 0.9 * np.sin(np.linspace(0, np.pi, 10)))), 0.09, 1.5)
    sheet.fill(_ribbon(body, profile), rng.uniform(0.10, 0.18), 1.5, rim=(0.006, 0.28))
    sheet.stroke(body[2:29], 0.016, 0.30, 2)  # the gut
    for side in (-1, 1):
        sheet.fill(_ribbon(np.add(body[24:29], (0, side * breadth * 0.45)), breadth * 0.35), 0.4, 2)  # the ovaries
    sheet.grain(0.25, 0.02)
    sheet.fill(_oval(body[0], 0.034, 0.026), 0.9, 1.5)
    for spread in np.linspace(-0.9, 0.9, 6):  # the hooks that catch its prey
        sheet.stroke(_curve(body[0], np.pi + spread, 0.055, -spread), 0.006, 0.6)
    for spread in np.linspace(-0.4, 0.4, 9):  # the tail fin
        sheet.stroke(_curve(body[-3], bend / 2 + spread, 0.07), 0.006, 0.2)


def _draw_egg(sheet, rng):
    sheet.fill(_oval((0, 0), 0.5, 0.48), 0.22, 1.5, rim=(0.06, 0.35))
    sheet.fill(_oval(rng.normal(0, 0.04, 2), rng.uniform(0.26, 0.36), 0.3), 0.55, 2.5)
    sheet.grain(0.15, 0.1)


def _draw_jelly(sheet, rng):
    height = rng.uniform(0.6, 0.95)
    bell = np.stack([0.5 * np.cos(np.pi * PLACE), 0.3 - height * np.sin(np.pi * PLACE) ** 0.7], axis=1)
    sheet.fill(bell, 0.13, 2.5)
    sheet.grain(0.5, 0.08)
    sheet.stroke(bell, 0.022, 0.30)
    sheet.stroke(np.add(bell * (0.78, 0.7), (0, 0.09)), 0.012, 0.18)
    top = 0.3 - height
    for x in 0.48 * np.cos(np.linspace(0.4, 2.7, rng.integers(4, 8))):  # canals from the top to the rim
        sheet.stroke([(0, top), (x * 0.8, top + 0.4 * height), (x, 0.3)], 0.014, 0.22)
    for x, radius in ((-0.16, 0.07), (0, 0.12), (0.16, 0.07)):  # the stomach between two gonads
        sheet.fill(_oval((x, top + 0.5 * height), 0.065, radius), 0.45, 2.5)
    for x in np.linspace(-0.48, 0.48, rng.integers(9, 17)):
        sheet.fill(_oval((x, 0.3), 0.022, 0.022), 0.6, 1.2)
        waves = 0.6 * np.sin(PLACE * rng.uniform(5, 10) + rng.uniform(0, 6))
        sheet.stroke(_curve((x, 0.3), np.pi / 2 - x * 0.6, rng.uniform(0.2, 0.55), waves), 0.011, 0.28)


def _draw_appendicularian(sheet, rng):
    waves = rng.uniform(0.5, 1.0) * np.sin(PLACE * rng.uniform(4, 7) + rng.uniform(0, 6))
    tail = _curve((-0.3, 0), 0, 0.95, waves)
    fin = _ribbon(tail, 0.06 * np.sin(np.pi * (0.08 + 0.9 * PLACE)) ** 0.5)
    sheet.fill(fin, 0.16, 1.5, rim=(0.008, 0.16))
    sheet.fill(_ribbon(tail, 0.022 * (1.05 - PLACE)), 0.45, 1.2)
    sheet.fill(_oval((-0.36, 0), 0.13, 0.085), 0.5, 1.5)
    sheet.grain(0.2, 0.04)
    sheet.fill(_oval((-0.29, 0.01), 0.05, 0.045), 0.8, 1.5)


def _draw_detritus(sheet, rng):
    shape = sheet.absorbance.shape
    row, column = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    sizes = ((sheet.length * 0.25, 0.33), (sheet.length * 0.08, 0.21), (5, 0.18), (2.5, 0.15))
    ragged = sum(weight * _clouds(rng, shape, cell) for cell, weight in sizes)
    thick = np.clip(0.9 + ragged - 2.2 * np.hypot(row, column * rng.uniform(1, 1.9)), 0, 0.9) * rng.uniform(0.5, 0.9)
    sheet.absorbance[:] = cv2.GaussianBlur(thick * np.exp(0.5 * _clouds(rng, shape, 3)), (0, 0), 0.8)


def _draw_fibre(sheet, rng):
    waves = rng.normal(0, 0.8) * np.sin(PLACE * rng.uniform(2, 6) + rng.uniform(0, 6)) + rng.normal(0, 0.9) * PLACE
    sheet.stroke(_curve((-0.5, 0), 0, 1.0, waves), rng.uniform(2.5, 5) / sheet.length, rng.uniform(0.45, 1.0))


def _draw_pellet(sheet, rng):
    axis = _curve((-0.5, 0), 0, 1.0, rng.normal(0, 0.3))
    sheet.fill(_ribbon(axis, rng.uniform(0.12, 0.18)), rng.uniform(0.7, 1.5), 1.2)


def _draw_bubble(sheet, rng):
    rim = rng.uniform(3, 6) / sheet.length, rng.uniform(0.6, 1.3)
    sheet.fill(_oval((0, 0), 0.5, 0.5), -0.03, 1.5, rim)


_Kind = namedtuple("_Kind", "taxon share length reach draw")
# The share is that of the objects of its group, the length the median in pixels, the reach half the sheet's side in
# lengths. The sizes are small for a ZooScan, so that a small scan holds many objects.
_KINDS = (
    _Kind(Taxon(1, "detritus", False), 0.40, 70, 0.75, _draw_detritus),
    _Kind(Taxon(2, "fibre", False), 0.25, 170, 0.8, _draw_fibre),
    _Kind(Taxon(3, "faecal pellet", False), 0.20, 50, 0.65, _draw_pellet),
    _Kind(Taxon(4, "bubble", False), 0.15, 44, 0.65, _draw_bubble),
    _Kind(Taxon(8, "Copepoda", True), 0.45, 95, 1.05, _draw_copepod),
    _Kind(Taxon(9, "Chaetognatha", True), 0.12, 250, 0.68, _draw_arrow_worm),
    _Kind(Taxon(10, "egg", True), 0.18, 36, 0.6, _draw_egg),
    _Kind(Taxon(11, "Cnidaria", True), 0.12, 85, 1.0, _draw_jelly),
    _Kind(Taxon(12, "Appendicularia", True), 0.13, 120, 0.85, _draw_appendicularian),
)
TAXA = (Taxon(0, "ground", False), *(kind.taxon for kind in _KINDS))


def _placeable(kind, side, rng):
    """Draws one object on its own: transmission (float32, 0 to 1.03) and mask (bool), with `MARGIN`."""
    sheet = _Sheet(rng, max(min(kind.length * rng.lognormal(0, 0.35), 0.45 * side), 30.0), kind.reach)
    kind.draw(sheet, rng)
    absorbance = np.pad(sheet.absorbance, 2 * MARGIN) * rng.uniform(0.85, 1.25)
    transmission = np.minimum(np.exp(-absorbance), 1.03)
    dark = (cv2.blur(transmission, (3, 3)) < MASK_TRANSMISSION).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    truth = (statistics[:, cv2.CC_STAT_AREA] >= SMALLEST_SPECK)[labels] & (labels > 0)
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    box = tuple(slice(lines[0] - MARGIN, lines[-1] + MARGIN + 1) for lines in (rows, columns))
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
        sheet.stroke(_curve((-0.2, 0), 0, rng.uniform(0.1, 0.9) ** 2, rng.normal(0, 1)), rng.uniform(0.1, 0.4), 1.0)
        motes.append(np.exp(-sheet.absorbance * rng.uniform(0.2, 1.2) ** 2))
    side = motes[0].shape[0]
    for index in rng.integers(0, len(motes), scan.size // 11000):
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
        raise SettingError(f"A scan of {width} x {height} pixels.", f"{SMALLEST_SIDE} or more a side.", "enlarge it.")
    if not 0 < coverage <= 0.3:
        raise SettingError(f"coverage is {coverage}.", "above 0 and at most 0.3.", "leave it at 0.04.")
    rng = np.random.default_rng(seed)
    scan, mask, objects = np.empty((height, width), np.uint8), np.zeros((height, width), np.uint16), []
    _draw_ground(scan, rng)
    _draw_dust(scan, rng)
    groups = {living: [kind for kind in _KINDS if kind.taxon.living == living] for living in (False, True)}
    budget = {True: LIVING_SHARE * coverage * scan.size, False: (1 - LIVING_SHARE) * coverage * scan.size}
    drawn = {False: 0, True: 0}
    for _ in range(50 + scan.size // 1000):  # bounded, though the scan is covered long before
        living = drawn[True] / budget[True] <= drawn[False] / budget[False]  # the group that is further behind
        if drawn[living] >= budget[living]:
            break
        kind = groups[living][rng.choice(len(groups[living]), p=[kind.share for kind in groups[living]])]
        transmission, truth = _placeable(kind, min(height, width), rng)
        place = _find_place(mask, truth, rng)
        # One large animal at the end would upset the balance of a small scan.
        if place is None or drawn[living] + truth.sum() > 1.1 * budget[living]:
            continue
        _dim(scan, *place, transmission)
        mask[place[0] : place[0] + truth.shape[0], place[1] : place[1] + truth.shape[1]][truth] = kind.taxon.id
        box = place[0] + MARGIN, place[1] + MARGIN, truth.shape[0] - 2 * MARGIN, truth.shape[1] - 2 * MARGIN
        objects.append(DrawnObject(kind.taxon.id, *map(int, box), int(truth.sum())))
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
