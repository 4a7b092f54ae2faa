"""Objects of truth and prediction matched one to one: what is found, how well, of which size, split or joined."""

from dataclasses import dataclass, fields

import numpy as np

# No object can overlap two of the other side by more than one half.
IOU = 0.5
IOUS = tuple(round(IOU + 0.05 * step, 2) for step in range(10))
# Ends of the bins of equivalent spherical diameter; ZooScan counts from 0.3 mm.
EDGES = {"mm": (0.0, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0), "px": (0.0, 30.0, 50.0, 100.0, 200.0, 500.0, 1000.0)}


def share(part, whole):
    """Divides counts, numbers or arrays; nothing out of nothing is 0.

    Example:

    >>> share(3, 4), share(0, 0), share(np.array([1, 0]), np.array([2, 0])).tolist()
    (0.75, 0.0, [0.5, 0.0])
    """
    result = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) != 0)
    return result if np.ndim(result) else float(result)


@dataclass(frozen=True)
class Side:
    """The objects of truth or of prediction, as columns of equal length, and what they share with the other side.

    Attributes:
        areas: int64, pixels.
        classes: uint8, class indices.
        scores: float32 0..1.
        boxes: int32 `(objects, 4)`: top, left, bottom, right in pixels, the last two exclusive.
        ious: float64, IoU with the object that it matches, 0 without one.
        common: int64, pixels that belong to objects of the other side too.
        held: int64, how many objects of the other side lie in it for the most part.
        pixel_mm: float64, side of a pixel of its scan in mm, NaN where that is not known.
    """

    areas: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    ious: np.ndarray
    common: np.ndarray
    held: np.ndarray
    pixel_mm: np.ndarray

    def __len__(self):
        return len(self.areas)

    @classmethod
    def join(cls, sides):
        """Joins the objects of several scans."""
        return cls(*(np.concatenate([getattr(side, item.name) for side in sides]) for item in fields(cls)))

    def diameters(self, unit):
        """Gives the equivalent spherical diameter: that of a disk of the same area (in `px` or `mm`)."""
        return 2 * np.sqrt(self.areas / np.pi) * (1 if unit == "px" else self.pixel_mm)


@dataclass(frozen=True)
class Matching:
    """All objects of one scan or several.

    Attributes:
        true: The `Side` of the truth.
        predicted: That of the prediction.
    """

    true: Side
    predicted: Side

    @classmethod
    def join(cls, matchings):
        """Joins those of several scans."""
        return cls(Side.join([each.true for each in matchings]), Side.join([each.predicted for each in matchings]))

    def scores(self):
        """Gives the scores of all objects, whatever their class.

        Returns:
            A dictionary of `precision, recall, f1, pq` and `ap50` at an IoU above 0.5 (PQ: Kirillov et al. 2019, arXiv
            1801.00868); `ap`, the mean of the average precisions at 0.5, 0.55 to 0.95, which stand in `by_iou` with the
            others; the numbers of `true` and `predicted` objects; `splits`, true objects in which several predicted
            ones lie for the most part; and `merges`, predicted objects in which several true ones do.
        """
        by_iou = [{"iou": iou, **self._at(iou)} for iou in IOUS]
        first = by_iou[0]
        return {
            **{name: first[name] for name in ("precision", "recall", "f1")},
            "ap50": first["ap"],
            "pq": first["pq"],
            "ap": float(np.mean([each["ap"] for each in by_iou])),
            "true": len(self.true),
            "predicted": len(self.predicted),
            "splits": int((self.true.held > 1).sum()),
            "merges": int((self.predicted.held > 1).sum()),
            "by_iou": by_iou,
        }

    def _at(self, iou):
        """Gives the scores at an IoU."""
        matched = self.true.ious[self.true.ious > iou]
        found, true, predicted = len(matched), len(self.true), len(self.predicted)
        order = np.argsort(-self.predicted.scores, kind="stable")
        hits, falling = self.predicted.ious[order] > iou, -self.predicted.scores[order]
        precision = np.cumsum(hits) / np.arange(1, predicted + 1)
        # Objects of one score are found together: which of them comes first in the scan says nothing.
        precision = precision[np.searchsorted(falling, falling, side="right") - 1]
        # The best precision at this recall or a higher one, as in Pascal VOC.
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return {
            "precision": share(found, predicted),
            "recall": share(found, true),
            "f1": share(2 * found, true + predicted),
            "ap": share((envelope * hits).sum(), true),
            "pq": share(2 * matched.sum(), true + predicted),
        }

    def by_size(self):
        """Gives recall of true and precision of predicted objects by their equivalent spherical diameter.

        Returns:
            A dictionary of `unit`, `mm` where there are objects and the scans of all say how large their pixels are and
            `px` else, and `bins`: each with `low` and `high` (None for the last), the numbers of `true` objects and of
            those `found`, of `predicted` ones and of those `right`, `recall` and `precision`, None where there are no
            objects.
        """
        sides = np.concatenate([self.true.pixel_mm, self.predicted.pixel_mm])
        unit = "mm" if len(sides) and not np.isnan(sides).any() else "px"
        edges = EDGES[unit]
        counted = []
        for side in (self.true, self.predicted):
            places = np.searchsorted(edges, side.diameters(unit), side="right") - 1
            for chosen in (places, places[side.ious > IOU]):
                counted.append(np.bincount(chosen, minlength=len(edges)).tolist())
        bins = []
        for low, high, true, found, predicted, right in zip(edges, (*edges[1:], None), *counted, strict=True):
            recall, precision = (part / whole if whole else None for part, whole in ((found, true), (right, predicted)))
            bins.append({"low": low, "high": high, "true": true, "found": found, "recall": recall})
            bins[-1].update(predicted=predicted, right=right, precision=precision)
        return {"unit": unit, "bins": bins}

    def numbers(self, num_classes):
        """Counts objects by class: `(true, predicted)`, two lists."""
        return tuple(np.bincount(side.classes, minlength=num_classes).tolist() for side in (self.true, self.predicted))


def match(true, predicted, overlaps, pixel_mm=None):
    """Matches the objects of a scan.

    Args:
        true: `objects.Objects` of the truth.
        predicted: Those of the prediction.
        overlaps: int64 `(3, pieces)`: label of a true object, label of a predicted one, and pixels that they share; a
            pair may come in several pieces.
        pixel_mm: Side of a pixel in mm, or None.

    Returns:
        The `Matching`.
    """
    pairs, piece = np.unique(overlaps[0] * (len(predicted) + 1) + overlaps[1], return_inverse=True)
    both = np.bincount(piece, overlaps[2], minlength=len(pairs)).astype(np.int64)
    places = np.divmod(pairs, len(predicted) + 1)
    areas = [side.areas[place - 1] for side, place in zip((true, predicted), places, strict=True)]
    iou = both / (sum(areas) - both)
    iou[iou <= IOU] = 0
    sides = []
    for objects, place, others in zip((true, predicted), places, areas[::-1], strict=True):
        ious = np.zeros(len(objects))
        np.maximum.at(ious, place - 1, iou)
        held = np.bincount(place[2 * both > others] - 1, minlength=len(objects))
        common = np.bincount(place - 1, both, minlength=len(objects)).astype(np.int64)
        side = np.full(len(objects), np.nan if pixel_mm is None else pixel_mm)
        columns = (objects.areas, objects.classes, objects.scores, objects.boxes)
        sides.append(Side(*columns, ious, common, held, side))
    return Matching(*sides)
