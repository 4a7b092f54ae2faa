"""Slopes of size spectra, by least squares of classes and by maximum likelihood of single volumes.

Both fit a power law: volumes with a density proportional to volume^-b have a normalised spectrum proportional to
volume^(1 - b), so that the slope is 1 - b; b = 2, equal biovolume in each octave, is a slope of -1. Least squares of
logarithms is the custom of the field, but gives a class of four animals the say of one of four thousand; maximum
likelihood does not (Edwards, Robinson, Plank, Baum and Blanchard 2017, Methods in Ecology and Evolution 8).
"""

import numpy as np

# A class of fewer objects says little, and its logarithm is biased; PSSdb's limit (Dugenne and others 2024).
FEWEST = 4
# So many empty classes in a row end a spectrum, as in PSSdb.
GAP = 3


def usable_classes(density, counts):
    """Tells which classes a line is fitted to.

    From the class of the highest density, since smaller animals are lost by net and pixels, to before three empty
    classes in a row; classes of fewer than four objects are left out.

    Args:
        density: float `(classes,)`, the normalised spectrum, ascending in size.
        counts: int `(classes,)`, objects.

    Returns:
        bool `(classes,)`.

    Example:

    >>> usable_classes([1, 9, 4, 2, 0, 0, 0, 1], [1, 9, 3, 8, 0, 0, 0, 7]).tolist()
    [False, True, False, True, False, False, False, False]
    """
    counts = np.asarray(counts)
    start = int(np.argmax(density)) if len(counts) else 0
    empty = np.flatnonzero(np.convolve(counts[start:] == 0, np.ones(GAP), "valid") == GAP) if len(counts) else []
    stop = start + int(empty[0]) if len(empty) else len(counts)
    return (np.arange(len(counts)) >= start) & (np.arange(len(counts)) < stop) & (counts >= FEWEST)


def least_squares(middles, density):
    """Fits lines to logarithms to the base 10; classes of density 0 are left out.

    Args:
        middles: float `(classes,)`, volumes.
        density: float `(draws, classes)`.

    Returns:
        Slope, intercept (at a volume of 1) and R2, each float64 `(draws,)`; NaN with fewer than three classes.

    Example:

    >>> [round(float(found[0]), 3) for found in least_squares([1, 10, 100], [[100, 10, 1]])]
    [-1.0, 2.0, 1.0]
    """
    density = np.asarray(density, np.float64)
    used = density > 0
    x = np.where(used, np.log10(middles), 0)
    y = np.log10(np.where(used, density, 1))
    count = np.where(used.sum(axis=1) >= 3, used.sum(axis=1), np.nan)
    mean_x, mean_y = x.sum(axis=1) / count, y.sum(axis=1) / count
    off_x, off_y = (x - mean_x[:, None]) * used, (y - mean_y[:, None]) * used
    xx, xy, yy = (off_x**2).sum(axis=1), (off_x * off_y).sum(axis=1), (off_y**2).sum(axis=1)
    slope = xy / xx
    with np.errstate(invalid="ignore"):
        return slope, mean_y - slope * mean_x, xy**2 / (xx * yy)


def likeliest_slope(mean_log, span):
    """Gives the slope of a power law between bounds that makes volumes most likely.

    With t = ln(volume / lowest), t has the density of exp(-(b - 1) t) between 0 and the span; of all its values only
    the (weighted) mean matters: the likeliest b is that whose mean it is. Found by halving, 60 times.

    Args:
        mean_log: float `(draws,)`, weighted means of ln(volume / lowest), between 0 and the span.
        span: ln(highest / lowest).

    Returns:
        float64 `(draws,)`, slopes of the normalised spectrum, 1 - b; NaN of NaN.

    Example, volumes spread evenly in their logarithm, b = 1:

    >>> round(float(likeliest_slope([1.5], 3.0)[0]), 6)
    0.0
    """
    wanted = np.asarray(mean_log, np.float64) / span
    low, high = (np.full(wanted.shape, end) for end in (-1e3, 1e3))
    for _ in range(60):
        middle = (low + high) / 2
        # The mean falls as the exponent grows.
        above = _mean(middle) > wanted
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(np.isnan(wanted), np.nan, -(low + high) / 2 / span)


def _mean(rate):
    """Mean of exp(-rate t) on 0 to 1."""
    safe = np.where(np.abs(rate) < 1e-4, 1.0, rate)
    with np.errstate(over="ignore"):
        return np.where(np.abs(rate) < 1e-4, 0.5 - rate / 12, 1 / safe - 1 / np.expm1(safe))
