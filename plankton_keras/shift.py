"""Is a scan like those that a model learned from? Scores on scans of another kind say little (docs/evaluate.md).

What a scan looks like is measured on its ground and its candidates, before any model; the confidence of the model's
answers is added to that.
"""

import cv2
import numpy as np

from plankton_keras.candidates import STEPS

# A range is taken to be wider by its width at either end, and by this share of its middle at least.
LEAST_MARGIN = 0.1
# What each figure is called, and its digits.
NAMES = {
    "ground": ("gray level of the ground", 0),
    "fall_off": ("unevenness of the ground", 3),
    "darkness": ("darkness of objects", 3),
    "diameter": ("median diameter of dark objects in pixels", 1),
    "large": ("diameter that a tenth of them exceed", 1),
    "density": ("dark objects per megapixel", 1),
    "confidence": ("mean confidence", 3),
}


def look(candidates):
    """Measures a scan.

    Args:
        candidates: Its `candidates.Candidates`.

    Returns:
        A dictionary of floats: `ground`, median gray level of the local ground; `fall_off`, what lies between its 5th
        and 95th percentile as a share of that; `darkness`, by which share of the ground the median dark pixel is
        darker; `diameter` and `large`, median and 90th percentile of the candidates' diameters (of a disk of equal
        area) in pixels; and `density`, candidates per megapixel. Without candidates the diameters are 0.
    """
    dark, ground = candidates.dark, candidates.ground.small
    levels = sum(
        cv2.calcHist([np.asarray(dark[top:bottom])], [0], None, [256], [0, 256]).ravel()
        for top, bottom in candidates.bands
    )[1:].cumsum()
    low, middle, high = np.percentile(ground, [5, 50, 95]).tolist()
    diameters = 2 * np.sqrt(candidates.objects.areas / np.pi)
    median, large = np.percentile(diameters, [50, 90]).tolist() if len(diameters) else (0.0, 0.0)
    return {
        "ground": middle,
        "fall_off": round((high - low) / max(middle, 1), 4),
        "darkness": float(1 + np.searchsorted(levels, levels[-1] / 2)) / STEPS if levels[-1] else 0.0,
        "diameter": round(median, 2),
        "large": round(large, 2),
        "density": round(len(diameters) / (dark.size / 1e6), 2),
    }


def confidence(histogram):
    """Gives how sure answers are: the mean of twice the distance of the probability from one half, over those above 0.

    Args:
        histogram: As in `curves`.

    Returns:
        0..1; 0 where no pixel is above 0.

    Example:

    >>> histogram = np.zeros((2, 256))
    >>> histogram[0, 0], histogram[1, 255], histogram[0, 255] = 900, 3, 1
    >>> confidence(histogram)
    1.0
    """
    pixels = np.asarray(histogram).sum(axis=0)[1:]
    sure = np.abs(2 * np.arange(1, 256) / 255 - 1)
    return round(float((sure * pixels).sum() / max(pixels.sum(), 1)), 4)


def unlike(found, training):
    """Says in what a scan is unlike the training scans.

    Args:
        found: Dictionary of figures.
        training: List of such dictionaries, of the training scans (or, of the confidence, the validation scans).

    Returns:
        A list of texts; empty if it is like them, or if nothing is known of them.

    Example:

    >>> unlike({"ground": 150.0, "density": 84.0}, [{"ground": 221.0, "density": 80.0}, {"ground": 231.0}])
    ['gray level of the ground 150 (training scans: 221 to 231)']
    """
    texts = []
    for key, (name, digits) in NAMES.items():
        known = [each[key] for each in training if key in each]
        if key not in found or not known:
            continue
        low, high = min(known), max(known)
        margin = max(high - low, LEAST_MARGIN * (low + high) / 2)
        if not low - margin <= found[key] <= high + margin:
            texts.append(f"{name} {found[key]:.{digits}f} (training scans: {low:.{digits}f} to {high:.{digits}f})")
    return texts
