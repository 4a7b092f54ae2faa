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

from plankton_keras import drawings
from plankton_keras.errors import SettingError
from plankton_keras.files import whole_file
from plankton_keras.taxa import Taxon

FIRST_DAY = datetime.date(2009, 1, 7)
SMALLEST_SIDE = 256
LIVING_SHARE = 0.68  # of all object pixels: a plain threshold then scores F1 0.81 at best
TOUCHING = 0.1  # chance that an object which falls on another one stays there
MASK_TRANSMISSION = 0.93  # a pixel is in the mask if, smoothed over 3 x 3 pixels, less than this comes through
SMALLEST_SPECK = 30  # pixels; what is smaller and apart from the object is too small for a mask
POWER_LAW_AREAS = 900, 36_000  # pixels; at 2400 dpi spheres of 0.36 to 2.3 mm
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
        shapes: List of bool `(height, width)`, the mask pixels of each object within its box, hidden ones too.
    """

    scan: np.ndarray
    mask: np.ndarray
    objects: list
    shapes: list

    def instances(self):
        """Tells which object each pixel belongs to.

        Where objects overlap, a pixel belongs to the one that was drawn last, which lies on top, as in the mask.

        Returns:
            int32 `(height, width)`: place in `objects`, from 1; 0 is ground.

        Example:

        >>> drawn = draw_scan(height=256, width=256, seed=1)
        >>> ids = np.array([0, *(each.id for each in drawn.objects)])
        >>> bool((ids[drawn.instances()] == drawn.mask).all())
        True
        """
        owners = np.zeros(self.mask.shape, np.int32)
        for number, (each, shape) in enumerate(zip(self.objects, self.shapes, strict=True), 1):
            owners[each.top : each.top + each.height, each.left : each.left + each.width][shape] = number
        return owners


_Kind = namedtuple("_Kind", "taxon share length area reach draw")
# The share is that of the objects of its group, the length the median in pixels, the area the pixels at that length,
# about, and the reach half the sheet's side in lengths. The sizes are small for a ZooScan, so that a small scan holds
# many objects.
_KINDS = (
    _Kind(Taxon(1, "detritus", False), 0.40, 70, 1230, 0.75, drawings.draw_detritus),
    _Kind(Taxon(2, "fibre", False), 0.25, 170, 1510, 0.8, drawings.draw_fibre),
    _Kind(Taxon(3, "faecal pellet", False), 0.20, 50, 1200, 0.65, drawings.draw_pellet),
    _Kind(Taxon(4, "bubble", False), 0.15, 44, 1460, 0.65, drawings.draw_bubble),
    _Kind(Taxon(8, "Copepoda", True), 0.42, 95, 3220, 1.05, drawings.draw_copepod),
    _Kind(Taxon(9, "Chaetognatha", True), 0.10, 250, 6370, 0.68, drawings.draw_arrow_worm),
    _Kind(Taxon(10, "egg", True), 0.16, 36, 1340, 0.6, drawings.draw_egg),
    _Kind(Taxon(11, "Cnidaria", True), 0.11, 85, 6520, 1.0, drawings.draw_jelly),
    _Kind(Taxon(12, "Appendicularia", True), 0.11, 120, 2340, 0.85, drawings.draw_appendicularian),
    _Kind(Taxon(13, "Bacillariophyceae", True), 0.10, 190, 5320, 0.8, drawings.draw_diatom_chain),
)
TAXA = (Taxon(0, "ground", False), *(kind.taxon for kind in _KINDS))


def _length(kind, rng, power_law):
    """Draws the length of an object in pixels."""
    if not power_law:
        return kind.length * rng.lognormal(0, 0.35)
    # Areas of a density of area^-2.5 make volumes of a density of volume^-2.
    least, most = (area**-1.5 for area in POWER_LAW_AREAS)
    area = (least - rng.random() * (least - most)) ** (-1 / 1.5)
    return kind.length * (area / kind.area) ** 0.5


def _placeable(kind, side, rng, power_law=False):
    """Draws one object on its own: transmission (float32, 0 to 1.03) and mask (bool), with `MARGIN`."""
    length = max(min(_length(kind, rng, power_law), 0.45 * side), 30.0)
    sheet = drawings.Sheet(rng, length, kind.reach)
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
        sheet = drawings.Sheet(rng, 6.0, 0.5)
        mote = drawings.curve((-0.2, 0), 0, rng.uniform(0.1, 0.9) ** 2, rng.normal(0, 1))
        sheet.stroke(mote, rng.uniform(0.1, 0.4), 1.0)
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


def draw_scan(height, width, seed, coverage=0.04, animals=None, power_law=False):
    """Draws a scan and its mask; the same arguments give the same bytes.

    Args:
        height: Height in pixels, at least 256.
        width: Width in pixels, at least 256.
        seed: A whole number, or several, as `numpy.random.default_rng` takes them.
        coverage: Share of the pixels that objects cover, living or not, above 0 and up to 0.3.
        animals: Number of living objects, whatever they cover; others are drawn among them, in the usual share of all
            pixels. None draws until the coverage is reached.
        power_law: Whether volumes have a density proportional to volume^-2 over eight octaves, about, whatever the
            kind, so that size spectra fall by a slope of -1, as in the sea. Otherwise lengths are lognormal, and
            spectra are humps.

    Returns:
        A `DrawnScan`.

    Raises:
        SettingError: If the scan is too small, the coverage is out of range, or so many animals find no place.

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
    drawn = DrawnScan(np.empty((height, width), np.uint8), np.zeros((height, width), np.uint16), [], [])
    _draw_ground(drawn.scan, rng)
    _draw_dust(drawn.scan, rng)
    _draw_objects(drawn, rng, coverage, animals, power_law)
    return drawn


def _draw_objects(drawn, rng, coverage, animals, power_law):
    """Strews objects over the scan, living and others by turns."""
    groups = {living: [kind for kind in _KINDS if kind.taxon.living == living] for living in (False, True)}
    pixels = coverage * drawn.scan.size
    budget, used, alive = {True: LIVING_SHARE * pixels, False: (1 - LIVING_SHARE) * pixels}, {False: 0, True: 0}, 0
    for _ in range(50 + drawn.scan.size // 1000):  # bounded, though the scan is covered long before
        living = used[True] / budget[True] <= used[False] / budget[False]  # the group that is further behind
        if used[living] >= budget[living] if animals is None else alive == animals:
            return
        kind = groups[living][rng.choice(len(groups[living]), p=[kind.share for kind in groups[living]])]
        transmission, truth = _placeable(kind, min(drawn.mask.shape), rng, power_law)
        place = _find_place(drawn.mask, truth, rng)
        # One large animal at the end would upset the balance of a small scan.
        if place is None or (animals is None and used[living] + truth.sum() > 1.1 * budget[living]):
            continue
        _lay(drawn, kind.taxon.id, transmission, truth, place)
        used[living] += drawn.objects[-1].area
        alive += living
    if animals is not None:
        raise SettingError(f"{animals} animals find no place.", "fewer, or a larger scan.", "enlarge it.")


def _lay(drawn, taxon, transmission, truth, place):
    """Lays an object over all that is there."""
    _dim(drawn.scan, *place, transmission)
    drawn.mask[place[0] : place[0] + truth.shape[0], place[1] : place[1] + truth.shape[1]][truth] = taxon
    box = place[0] + MARGIN, place[1] + MARGIN, truth.shape[0] - 2 * MARGIN, truth.shape[1] - 2 * MARGIN
    drawn.objects.append(DrawnObject(taxon, *map(int, box), int(truth.sum())))
    # A copy, for a view would keep the whole sheet in memory.
    drawn.shapes.append(truth[MARGIN:-MARGIN, MARGIN:-MARGIN].copy())


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


def write_scans(folder, train=3, val=1, test=1, size=(2048, 1536), seed=0, power_law=False):
    """Writes scans, masks and `taxa.csv` in the layout of the ZooScan challenge; files that exist are kept.

    Args:
        folder: Where `train`, `val`, `test` and `taxa.csv` are to be.
        train: Number of scans to train on.
        val: Number of scans to validate on.
        test: Number of scans to test on.
        size: `(width, height)` of a scan in pixels.
        seed: A whole number; each scan is drawn from it and its place in the row.
        power_law: As for `draw_scan`.

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
        drawn = draw_scan(size[1], size[0], [seed, index], power_law=power_law)
        for path, array in zip(paths, (drawn.scan, drawn.mask), strict=True):
            if not path.exists():
                write_netpbm(path, array)
    return scans
