"""The taxon of each measured object, by a classifier of vignettes."""

from dataclasses import dataclass, replace

import numpy as np

from plankton_keras.errors import ArtefactError
from plankton_keras.vignettes import squared

# What an object is called whose class is not sure enough.
UNCLASSIFIED = "unclassified"
BEST = 3


@dataclass(frozen=True)
class Named:
    """What a classifier says of objects, a row each.

    Attributes:
        names: Class names by index, the last of them `unclassified`.
        living: A bool for each name.
        chances: float64 `(objects, names)`, calibrated probabilities; sums to 1.
        taxa: int `(objects,)`, indices into `names`.
    """

    names: tuple
    living: tuple
    chances: np.ndarray
    taxa: np.ndarray

    def rename(self, each, place):
        """Gives a `measuring.MeasuredObject` its class, and its probability as the score."""
        taxon = self.names[self.taxa[place]]
        return replace(each, taxon=taxon, score=round(float(self.chances[place].max()), 4))

    def columns(self, place):
        """Gives the columns of an object in objects.csv: the likeliest classes and their probabilities."""
        order = np.argsort(-self.chances[place], kind="stable")[:BEST].tolist()
        found = {}
        for rank, index in enumerate(order, start=1):
            found |= {f"taxon_{rank}": self.names[index], f"probability_{rank}": float(self.chances[place, index])}
        return found


def name_objects(classifier, vignettes, confidence=0.0):
    """Names objects.

    Args:
        classifier: A `predictors.Classifier`.
        vignettes: List of uint8 `(height, width)`, objects alone with the ground at 255; none gives the names alone.
        confidence: Objects whose likeliest class has a lower probability, 0..1, are `unclassified`.

    Returns:
        `Named`.
    """
    size = classifier.size
    images = np.array([squared(each, size) for each in vignettes], np.uint8).reshape(-1, size, size, 1)
    sides = np.array([max(each.shape) for each in vignettes], np.float32)[:, None]
    chances = np.asarray(classifier.classify(images, sides), np.float64)
    chances = np.column_stack([chances / chances.sum(axis=1, keepdims=True), np.zeros(len(chances))])
    taxa = chances.argmax(axis=1)
    taxa[chances.max(axis=1) < confidence] = len(classifier.classes)
    living = classifier.living or dict.fromkeys(classifier.classes, True)
    alive = tuple(bool(living[name]) for name in classifier.classes)
    # What nobody can name was still taken for living by the segmentation.
    return Named((*classifier.classes, UNCLASSIFIED), (*alive, True), chances, taxa)


def known_confusion(classifier):
    """Gives what a classifier took for what on validation, which is what counts can be adjusted by.

    Args:
        classifier: A `predictors.Classifier`.

    Returns:
        int `(classes, classes)`, vignettes, rows true, columns predicted; `unclassified` is none of them.

    Raises:
        ArtefactError: If that was not noted when it was trained.
    """
    if classifier.confusion is None:
        raise ArtefactError(
            f"{classifier.source} does not say which classes it confuses: its run is older than --adjust.",
            "a run of vignettes whose thresholds.json has a confusion, or its export.",
            "plankton train RECORDS --out RUN --config RUN/config.json --resume adds it, without training anew; "
            "then export again.",
        )
    return classifier.confusion
