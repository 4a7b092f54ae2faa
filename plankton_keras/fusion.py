"""Pixels and objects together: what the network sees at a pixel, and what the classifier says of the whole candidate.

A segmentation network draws boundaries well and doubts about large or odd animals; a classifier of vignettes sees the
whole animal but no boundary. Their log-odds are added, with weights fitted on validation scans. What the edge of the
scan cuts is left to the network: the classifier learned from whole animals.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from plankton_keras.candidates import DARKNESS, MIN_AREA, STEPS, find_candidates

# A candidate is sure to be living, or not, if its probability is within this of 1 or 0 (docs/experiments.md).
SURE = 0.3


@dataclass(frozen=True)
class Weights:
    """How evidence is weighed, and what a candidate is.

    Attributes:
        pixel: Weight of the network's log-odds at the pixel.
        mean: Weight of their mean over the candidate.
        object: Weight of the classifier's log-odds for the candidate.
        bias: What is added.
        darkness: As for `candidates.find_candidates`.
        min_area: As for `candidates.find_candidates`.
        vignette_size: Side of the vignettes that the classifier sees in pixels.
        edge: Share of the local ground from which a candidate's pixel is too bright to belong to the object: where its
            mask ends.
        temperature: What all log-odds are divided by in the end, so that probabilities are what they say.
        shift: What is added to the network's log-odds where its word alone counts, so that one threshold fits all.
    """

    pixel: float
    mean: float
    object: float
    bias: float
    darkness: float
    min_area: int
    vignette_size: int
    edge: float = DARKNESS
    temperature: float = 1.0
    shift: float = 0.0

    def to_json(self):
        """Gives the weights as plain values."""
        return asdict(self)

    @classmethod
    def alone(cls, vignette_size):
        """Gives weights by which the classifier's word alone counts."""
        return cls(0.0, 0.0, 1.0, 0.0, DARKNESS, MIN_AREA, vignette_size)


@dataclass(frozen=True)
class Judge:
    """The classifier of candidates, with the weights of its word.

    Attributes:
        classify: Function of `(images, sides)`, uint8 `(count, size, size, 1)` and float32 `(count, 1)` in pixels, to
            float32 probabilities `(count, classes)`.
        weights: The `Weights`.
    """

    classify: Callable
    weights: Weights

    def look(self, scan, bands):
        """Finds and judges the candidates of a scan.

        Args:
            scan: An open scan.
            bands: As for `candidates.find_candidates`.

        Returns:
            `Evidence`.
        """
        weights = self.weights
        candidates = find_candidates(scan, bands, weights.darkness, weights.min_area)
        if not len(candidates.objects):
            return Evidence(candidates, np.zeros((0, 2), np.float32))
        return Evidence(candidates, self._decide(*candidates.vignettes(weights.vignette_size)))

    def _decide(self, images, sides):
        """Classifies candidates; those in doubt are looked at from all sides."""
        judged = np.array(self.classify(images, sides))
        doubtful = np.flatnonzero(in_doubt(judged))
        if len(doubtful):
            views = mirrored(images[doubtful])[1:]
            others = [self.classify(view, sides[doubtful]) for view in views]
            judged[doubtful] = np.mean([judged[doubtful], *others], axis=0)
        return judged


@dataclass(frozen=True)
class Evidence:
    """What is known of the candidates of a scan.

    Attributes:
        candidates: The `candidates.Candidates`.
        judged: float32 `(candidates, classes)`, probabilities by the classifier.
    """

    candidates: object
    judged: np.ndarray

    def inside(self, window):
        """Tells whether any candidate that the network is asked about may reach into a window."""
        boxes = self.candidates.objects.boxes[self.asked[1:]]
        apart = (boxes[:, 0] >= window.bottom) | (boxes[:, 2] <= window.top)
        apart |= (boxes[:, 1] >= window.right) | (boxes[:, 3] <= window.left)
        return not apart.all()

    @cached_property
    def cut(self):
        """Which candidates the edge of the scan cuts: bool `(candidates + 1,)`, by label."""
        height, width = self.candidates.dark.shape
        top, left, bottom, right = self.candidates.objects.boxes.T
        return np.concatenate([[False], (top == 0) | (left == 0) | (bottom == height) | (right == width)])

    @cached_property
    def asked(self):
        """Which candidates the network is asked about: bool `(candidates + 1,)`, by label.

        Those in doubt, and those that the edge of the scan cuts. Of the others the classifier's word alone counts.
        """
        return self.cut | np.concatenate([[False], in_doubt(self.judged)])

    def depth(self, top, bottom, places, labels):
        """Tells how dark candidate pixels are; what the edge of the scan cuts is black, and so keeps all of them.

        Args:
            top: First row of a band.
            bottom: Row after the last.
            places: As `Candidates.over_bands` hands them on.
            labels: The same.

        Returns:
            uint8 `(candidate pixels,)`, as `LocalGround.dark` gives it.
        """
        return np.where(self.cut[labels], np.uint8(STEPS), self.candidates.dark[top:bottom].ravel()[places])

    def over_candidates(self, probability):
        """Gives what is known of each candidate as a whole.

        Args:
            probability: uint8 `(height, width)`, the network's probability of all classes but 0, 255 = 1.

        Returns:
            `(means, judged)`, float64 `(candidates + 1,)`, by label: the mean log-odds of its pixels by the network,
            0 where it is not asked, and the classifier's log-odds.
        """
        size = len(self.judged) + 1

        def add_up(top, bottom, places, labels):
            return np.bincount(labels, LOG_ODDS[probability[top:bottom].ravel()[places]], minlength=size)

        areas = np.concatenate([[1], self.candidates.objects.areas])
        means = sum(self.candidates.over_bands(add_up)) / areas * self.asked
        return means, np.concatenate([[0.0], log_odds(255 * (1 - self.judged[:, 0]))])

    def over_bands(self, probability, function):
        """Applies a function to the evidence of each band, by threads.

        Args:
            probability: As for `over_candidates`.
            function: Function of `(top, bottom, places, labels, evidence)`: as for `Candidates.over_bands`, and float32
                `(candidate pixels, 3)`: the pixel's log-odds, their mean over the candidate, both 0 where the network
                is not asked, and the classifier's log-odds.

        Returns:
            Iterator over what the function gives, in the order of the bands.
        """
        means, judged = self.over_candidates(probability)

        def of_band(top, bottom, places, labels):
            pixel = LOG_ODDS[probability[top:bottom].ravel()[places]] * self.asked[labels]
            evidence = np.stack([pixel, means[labels], judged[labels]], axis=1).astype(np.float32)
            return function(top, bottom, places, labels, evidence)

        return self.candidates.over_bands(of_band)

    def apply(self, weights, classes, probability):
        """Replaces the network's word by that of all evidence, in place.

        Args:
            weights: `Weights`.
            classes: uint8 `(height, width)`, likeliest class but 0; candidates get the classifier's.
            probability: uint8 `(height, width)`, probability of all classes but 0, 255 = 1; 0 outside candidates.
        """
        likeliest = np.concatenate([[0], 1 + self.judged[:, 1:].argmax(axis=1)]).astype(np.uint8)
        factors = np.array([weights.pixel, weights.mean, weights.object], np.float32)

        def of_band(top, bottom, places, labels, evidence):
            cut = self.cut[labels]
            odds = np.where(cut, evidence[:, 0] + weights.shift, evidence @ factors + weights.bias)
            ends = self.depth(top, bottom, places, labels) < round(STEPS * (1 - weights.edge))
            values = (
                (probability, np.where(ends, 0, np.rint(255 / (1 + np.exp(-odds / weights.temperature))))),
                (classes, np.where(cut, classes[top:bottom].ravel()[places], likeliest[labels])),
            )
            for whole, inside in values:
                band = np.zeros(whole[top:bottom].shape, np.uint8)
                band.ravel()[places] = inside
                whole[top:bottom] = band

        for _ in self.over_bands(probability, of_band):
            pass


def in_doubt(judged):
    """Tells of which candidates the classifier is not sure.

    Args:
        judged: float32 `(candidates, classes)`, probabilities.

    Returns:
        bool `(candidates,)`.

    Example:

    >>> in_doubt(np.array([[0.1, 0.9], [0.4, 0.6]])).tolist()
    [False, True]
    """
    return np.abs(judged[:, 0] - 0.5) < 0.5 - SURE


def mirrored(images):
    """Gives images as they are, mirrored left to right, top to bottom, and both.

    Args:
        images: uint8 `(count, height, width, channels)`.

    Returns:
        A list of four arrays of that shape.
    """
    return [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]]


def log_odds(probability):
    """Turns probabilities in 1/255 into log-odds, kept within those of 1/255 and 254/255.

    Example:

    >>> log_odds(np.array([0, 127.5, 255])).round(2).tolist()
    [-5.54, 0.0, 5.54]
    """
    share = np.clip(np.asarray(probability, np.float64), 1, 254) / 255
    return np.log(share / (1 - share))


# By probability in 1/255.
LOG_ODDS = log_odds(np.arange(256))
