"""The worst errors of an evaluation, cut out of the scans while these are open."""

import heapq
from dataclasses import dataclass, field

import cv2
import numpy as np

from plankton_keras.tiles import Window

SHOWN = 24
# Pixels around an object that are shown with it.
AROUND = 24
# Larger cuts are reduced by a whole number.
SIDE = 256


@dataclass
class Gallery:
    """Keeps the objects with the most wrong pixels: predicted where nothing is, or not found.

    Args:
        names: Class names by index.
        shown: How many to keep.
    """

    names: tuple
    shown: int = SHOWN
    _kept: list = field(default_factory=list)
    _seen: int = 0

    def look(self, scan, read_truth, prediction, matching):
        """Looks at a scan.

        Args:
            scan: The open scan.
            read_truth: Function of a `Window` to uint8 class indices.
            prediction: Its `prediction.ScanPrediction`.
            matching: The `matching.Matching` of its objects.
        """
        for kind, side in (("missed", matching.true), ("false", matching.predicted)):
            wrong = side.areas - side.common
            for place in np.argsort(-wrong, kind="stable")[: self.shown].tolist():
                pixels, full = int(wrong[place]), len(self._kept) == self.shown
                if not pixels or (full and pixels <= self._kept[0][0]):
                    break
                self._seen += 1
                box = top, left, bottom, right = side.boxes[place].tolist()
                where = {"top": top, "left": left, "height": bottom - top, "width": right - left}
                error = {"scan": scan.stem, "kind": kind, "class": self.names[side.classes[place]], **where}
                # Of equals the first counts more.
                entry = pixels, -self._seen, {**error, "pixels": pixels}, _cut(scan, read_truth, prediction, box)
                (heapq.heappushpop if full else heapq.heappush)(self._kept, entry)

    def errors(self):
        """Gives the errors, the largest first, as metrics.json has them."""
        return [error for *_, error, _ in self._largest_first()]

    def crops(self):
        """Gives what belongs to them: `(scan, truth, predicted)`, uint8 gray levels and two of class indices."""
        return [crop for *_, crop in self._largest_first()]

    def _largest_first(self):
        return sorted(self._kept, key=lambda entry: entry[:2], reverse=True)


def _cut(scan, read_truth, prediction, box):
    """Cuts an object out, with what is around it."""
    top, left, bottom, right = box
    window = Window(top, left, bottom - top, right - left).grown(AROUND, scan.height, scan.width)
    step = -(-max(window.height, window.width) // SIDE)
    gray = scan.read(window)
    size = -(-window.width // step), -(-window.height // step)
    if step > 1:
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return gray, *(each[::step, ::step].copy() for each in (read_truth(window), prediction.classes[window.slices]))
