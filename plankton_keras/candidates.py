"""Candidates: what is darker than the local ground of a scan, and so could be an animal at all.

Pixels outside the candidates are never living; each candidate is a whole object, however large, that can be judged as
one. The same definition serves the plain threshold that every score is compared with.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from plankton_keras.files import scratch
from plankton_keras.objects import BandLabeler, Objects, components, keep_large, label_band
from plankton_keras.threads import in_order
from plankton_keras.tiles import Window
from plankton_keras.vignettes import GROUND, squared

REDUCTION = 8
# Pixels of the reduced scan: the local ground is a median over some 800 pixels of the scan.
GROUND_WINDOW = 101
# Of the reduced scan too: what is smaller does not count in the light that is drawn on beyond the edge.
EDGE_WINDOW = 15
# Share of what the median is of from which on an object is left out: from a half on, its own gray is the median.
FILLED = 0.4
# The median that such objects are found by is over so many times the pixels, each way.
WIDER = 4
# Within so many pixels of the reduced scan from its outline, an object is below such a share of what is outside; light
# that falls off is not.
RIM, CONTRAST = 4, 0.97
BAND = 256
DARKNESS = 0.95
# How dark a pixel is, in steps of the local ground's gray level: 0 as bright, STEPS black.
STEPS = 250
MIN_AREA = 120
# Pixels around a candidate that belong to its vignette: the soft edge.
MARGIN = 3


class LocalGround:
    """The gray level that a scan would have at each place without its objects.

    Args:
        scan: An open `scans.Scan`, or anything with `height`, `width` and `read`.
        small: The attribute of that name of an earlier one of the same scan, which then is not read again; or None.
        covered: bool of the shape of `small`, what is known to be no ground; or None.

    Attributes:
        scan: As given.
        small: uint8, the ground of the scan reduced by 8: a median, without objects that would be most of it. Those
            wider than some 2500 pixels (1400 where they are faint and light falls off) are found in part only, as are
            some that the border of the scan cuts.
    """

    def __init__(self, scan, small=None, covered=None):
        self.scan, self.small = scan, small
        if small is None:
            self.small = self._find(covered)

    def _find(self, covered):
        scan = self.scan
        width = -(-scan.width // REDUCTION)

        def reduced(top):
            rows = min(BAND, scan.height - top)
            band = scan.read(Window(top, 0, rows, scan.width))
            return cv2.resize(band, (width, -(-rows // REDUCTION)), interpolation=cv2.INTER_AREA)

        small = np.concatenate(list(in_order(reduced, range(0, scan.height, BAND))))
        large = _large(small)
        return _median(_uncovered(small, large if covered is None else large | covered))

    def read(self, window):
        """Gives the ground in a window: float32 `(height, width)`, gray levels."""
        # From the middle of a pixel of the scan to the middle of one of the reduced scan.
        places = [(start + 0.5) / REDUCTION - 0.5 for start in (window.left, window.top)]
        matrix = np.array([[1 / REDUCTION, 0, places[0]], [0, 1 / REDUCTION, places[1]]])
        size, how = (window.width, window.height), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.small, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)

    def whitened(self, window):
        """Reads a window of the scan with the ground at 255: uint8 `(height, width)`."""
        share = self.scan.read(window) / np.maximum(self.read(window), 1.0)
        return np.clip(np.rint(share * GROUND), 0, 255).astype(np.uint8)

    def dark(self, window, darkness=DARKNESS):
        """Finds pixels darker than a share of the local ground, after a 3x3 mean.

        Args:
            window: A `tiles.Window` of whole rows.
            darkness: The share, 0..1.

        Returns:
            uint8 `(height, width)`: by how many 250ths of the ground a dark pixel is darker, at least 1; 0 elsewhere.
        """
        top, bottom = max(0, window.top - 1), min(self.scan.height, window.bottom + 1)
        image = cv2.blur(self.scan.read(Window(top, 0, bottom - top, window.width)).astype(np.float32), (3, 3))
        image = image[window.top - top : window.top - top + window.height]
        ground, depth = self.read(window), np.zeros(image.shape, np.uint8)
        inside = image < darkness * ground
        depth[inside] = np.clip(np.rint(STEPS * (1 - image[inside] / ground[inside])), 1, STEPS)
        return depth


def _large(small):
    """Marks objects that the median around them would be of, with their soft edges: darker than a wider median.

    Light falls off without an edge.
    """
    (height, width), found = small.shape, np.zeros(small.shape, bool)
    coarse = cv2.resize(small, (-(-width // WIDER), -(-height // WIDER)), interpolation=cv2.INTER_AREA)
    dark = small < DARKNESS * cv2.resize(_median(coarse), (width, height)).astype(np.float32)
    _, labels, stats, _ = components(dark)
    for label in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] > FILLED * GROUND_WINDOW**2):
        left, top, across, down, _ = stats[label].tolist()
        around = Window(top, left, down, across).grown(RIM, height, width)
        own, levels = (labels[around.slices] == label).astype(np.uint8), small[around.slices]
        filled = cv2.blur(np.float32(own), (GROUND_WINDOW, GROUND_WINDOW), borderType=cv2.BORDER_CONSTANT).max()
        inside, outside = own > cv2.erode(own, _square(RIM)), cv2.dilate(own, _square(RIM)) > own
        if filled > FILLED and np.median(levels[inside]) < CONTRAST * np.median(levels[outside]):
            found[around.slices] |= cv2.dilate(own, _square(1)) > 0
    return found


def _square(reach):
    """Gives a kernel that looks so many pixels each way."""
    return np.ones((2 * reach + 1,) * 2, np.uint8)


def _uncovered(small, covered):
    """Gives what is covered the gray level of the nearest ground."""
    from scipy.ndimage import distance_transform_edt

    if covered.all() or not covered.any():
        return small
    rows, columns = distance_transform_edt(covered, return_distances=False, return_indices=True)
    return small[rows, columns]


def _median(small):
    """Takes the median around each pixel; light that falls off goes on falling beyond the edge.

    With the last row and column repeated instead, the dark corner of a scan would have a median that is too bright, and
    stand out as an object.
    """
    reach = GROUND_WINDOW // 2
    light = cv2.medianBlur(small, EDGE_WINDOW).astype(np.int16)
    padded = np.pad(light, reach, mode="reflect", reflect_type="odd").clip(0, 255).astype(np.uint8)
    padded[reach:-reach, reach:-reach] = small
    return cv2.medianBlur(padded, GROUND_WINDOW)[reach:-reach, reach:-reach].copy()


@dataclass(frozen=True)
class Candidates:
    """The candidates of a scan.

    Attributes:
        ground: The `LocalGround` of the scan.
        dark: uint8 `(height, width)` as `LocalGround.dark` gives it, specks too; may be memory-mapped.
        objects: Their `objects.Objects`.
        bands: List of `(top, bottom)` that they were labelled in.
        before: Number of provisional labels before each band.
        final: int32, label by provisional label of the bands, 0 for what is too small.
    """

    ground: LocalGround
    dark: np.ndarray
    objects: Objects
    bands: list
    before: list
    final: np.ndarray

    def over_bands(self, function):
        """Labels the bands again and applies a function to each, by threads.

        Args:
            function: Function of `(top, bottom, places, labels)`: the band's rows, the indices of its candidate pixels
                when it is flat, and int32, their candidates. Few pixels are any, so no map is made of them.

        Returns:
            Iterator over what the function gives, in the order of the bands.
        """

        def of_band(band):
            (top, bottom), before = band
            dark = np.asarray(self.dark[top:bottom])
            count, labels, _, _ = components(dark)
            kept = self.final[before : before + count].copy()
            kept[0] = 0
            places = np.flatnonzero(dark)
            own = kept[labels.ravel()[places]]
            return function(top, bottom, places[own > 0], own[own > 0])

        return in_order(of_band, zip(self.bands, self.before, strict=True))

    def vignettes(self, size):
        """Cuts each candidate out, alone and whole, with the ground at 255.

        Args:
            size: Side of the vignettes in pixels.

        Returns:
            `(images, sides)`: uint8 `(candidates, size, size, 1)` and float32 `(candidates, 1)`, the longer side of
            each in pixels of the scan.
        """
        boxes = self.objects.boxes
        images = np.full((len(boxes), size, size, 1), GROUND, np.uint8)
        alone = in_order(lambda box: squared(self._alone(*box), size), boxes.tolist())
        for image, vignette in zip(images, alone, strict=True):
            image[..., 0] = vignette
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) if len(boxes) else np.zeros(0)
        return images, sides.astype(np.float32)[:, None] + 2 * MARGIN

    def _alone(self, top, left, bottom, right):
        """Reads the candidate of a box; what else is dark in there becomes ground."""
        window = Window(top, left, bottom - top, right - left).grown(MARGIN, *self.dark.shape)
        pixels, dark = self.ground.whitened(window), np.asarray(self.dark[window.slices])
        count, labels, stats, _ = components(dark)
        if count > 2:
            # The candidate is the one that has this box: left, top, width and height, as OpenCV gives them.
            box = left - window.left, top - window.top, right - left, bottom - top
            own = 1 + int(np.abs(stats[1:, : len(box)] - box).sum(axis=1).argmin())
            return cleared(pixels, labels > 0, labels == own)
        return pixels


def cleared(pixels, dark, own):
    """Turns what belongs to other objects into ground, their soft edges too.

    Args:
        pixels: uint8 `(height, width)`, an object and what is around it, with the ground at 255.
        dark: bool of that shape, what belongs to any object.
        own: bool of that shape, the object's pixels, which stay.

    Returns:
        uint8 of that shape.

    Example:

    >>> row = np.array([[True, False, False, False, False, False, True]])
    >>> cleared(np.full((1, 7), 9, np.uint8), row, row & (np.arange(7) == 0)).tolist()
    [[9, 9, 9, 255, 255, 255, 255]]
    """
    reach = cv2.dilate((dark & ~own).astype(np.uint8), _square(MARGIN)) > 0
    return np.where(reach & ~own, np.uint8(GROUND), pixels)


def bands_of(height):
    """Cuts a height into bands.

    Example:

    >>> bands_of(600)
    [(0, 256), (256, 512), (512, 600)]
    """
    return [(top, min(top + BAND, height)) for top in range(0, height, BAND)]


def find_candidates(scan, bands, darkness=DARKNESS, min_area=MIN_AREA):
    """Finds what is darker than the local ground.

    Args:
        scan: An open `scans.Scan`, or anything with `height`, `width` and `read`.
        bands: List of `(top, bottom)` that cover the scan, from top to bottom.
        darkness: Share of the local ground's gray level below which a pixel is dark.
        min_area: Candidates of fewer pixels are left out.

    Returns:
        The `Candidates`.
    """
    return _find(scan, bands, darkness, min_area)[0]


def find_owned(scan, bands, read_truth, num_classes):
    """Finds candidates and how many pixels of each class each has, while its pixels are at hand.

    Args:
        scan: As for `find_candidates`.
        bands: As for `find_candidates`.
        read_truth: Function of a `Window` and bool `(height, width)` to the class indices of the pixels so marked, and
            the number of pixels of each class in the window.
        num_classes: Number of classes.

    Returns:
        `(candidates, counts, totals)`: the `Candidates`; int64 `(candidates, num_classes)`, pixels of each; and int64
        `(num_classes,)`, pixels of the scan.
    """

    def votes(window, inside, labels):
        classes, total = read_truth(window, inside)
        pairs = labels * num_classes + classes
        counts = np.bincount(pairs, minlength=(labels.max(initial=0) + 1) * num_classes)
        return counts.reshape(-1, num_classes)[1:], total

    candidates, looks = _find(scan, bands, DARKNESS, MIN_AREA, votes)
    each, totals = zip(*looks, strict=True)
    counts = np.zeros((len(candidates.objects) + 1, num_classes), np.int64)
    np.add.at(counts, candidates.final[1:], np.concatenate(each))
    return candidates, counts[1:], np.sum(totals, axis=0)


def _find(scan, bands, darkness, min_area, look=lambda *_: None):
    """Finds candidates; gives them and what a look at the dark pixels of each band gave."""
    ground, dark, labeler = LocalGround(scan), scratch(scan.height, scan.width), BandLabeler(num_classes=2)

    def mark(band):
        top, bottom = band
        window = Window(top, 0, bottom - top, scan.width)
        dark[top:bottom] = depth = ground.dark(window, darkness)
        inside = depth > 0
        found, labels = label_band(inside.astype(np.uint8))
        return found, look(window, inside, labels[inside])

    found, looks = zip(*in_order(mark, bands), strict=True)
    before = [labeler.add(each) for each in found]
    objects, final = keep_large(*labeler.finish(), min_area)
    return Candidates(ground, dark, objects, list(bands), before, final), looks
