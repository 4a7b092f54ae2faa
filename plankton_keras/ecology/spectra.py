"""Normalised biovolume size spectra of living objects, in both of the field's conventions.

The spectrum of a class is the biovolume concentration of its objects over the class's linear width, mm3/m3 per mm3.
"""

import dataclasses

import numpy as np

from plankton_keras.ecology.abundance import MODELS, check_samples, seed_of
from plankton_keras.ecology.resampling import drawn_sums, ends
from plankton_keras.ecology.slopes import least_squares, likeliest_slope, usable_classes
from plankton_keras.errors import InputError
from plankton_keras.intervals import TAIL


@dataclasses.dataclass(frozen=True)
class Classes:
    """Classes of volume.

    Attributes:
        edges: float64 `(classes + 1,)`, mm3, ascending.
        first: Number of the first class; lower edges are named by it in the field.
        upper: Whether an object on an edge belongs to the class below it.

    Example, of the first object of docs/ecology.md:

    >>> int(QUARTER_OCTAVES.number([0.0903277])[0])
    145
    """

    edges: np.ndarray
    first: int
    upper: bool

    def number(self, volumes):
        """Gives the class of each volume.

        Args:
            volumes: float `(objects,)`, mm3.

        Returns:
            int64 `(objects,)`, numbers of classes.

        Raises:
            InputError: If a volume lies in no class: such animals there are not.
        """
        found = np.searchsorted(self.edges, volumes, "left" if self.upper else "right") - 1
        beyond = np.flatnonzero((found < 0) | (found >= len(self.edges) - 1))
        if len(beyond):
            raise InputError(
                f"An object has a volume of {np.asarray(volumes)[beyond[0]]:g} mm3.",
                f"volumes between {self.edges[0]:g} and {self.edges[-1]:g} mm3.",
                "check the resolution that the scans' files say, or --dpi.",
            )
        return found + self.first

    def between(self, number):
        """Gives the edges of classes.

        Args:
            number: int `(classes,)`.

        Returns:
            Lower and upper edges, float64 `(classes,)`, mm3.
        """
        place = np.asarray(number) - self.first
        return self.edges[place], self.edges[place + 1]


# Platt and Denman's k = 2^(1/4) from 1e-12 mm3, [low, high), as in ecotaxatoolbox.
QUARTER_OCTAVES = Classes(1e-12 * 2 ** (np.arange(257) / 4), 0, upper=False)
# Octaves of volume, spheres of 2^(n/3) um in diameter, (low, high], as in PSSdb and EcoPart.
OCTAVES = Classes(np.pi / 6 * 1e-9 * 2.0 ** np.arange(-9, 55), -9, upper=True)
CONVENTIONS = {"quarter octaves": QUARTER_OCTAVES, "octaves": OCTAVES}


def spectra(objects, samples, seed=0):
    """Tabulates size spectra and their slopes.

    Args:
        objects: `ecology.abundance.Objects` with volumes.
        samples: List of `sample_tables.Sample`.
        seed: Of the intervals.

    Returns:
        Two lists of dictionaries, a row each. Of classes, from the first with an object to the last, by sample, model
        and convention: `class`, `volume_low_mm3`, `volume_high_mm3`, `esd_low_um`, `esd_high_um`, `objects`,
        `biovolume_mm3_m3`, `nbss` (mm3/m3 per mm3), `low` and `high` (95 %), `used` (in the fits). Of fits, by sample,
        model, convention and method (`least squares`, `maximum likelihood`): `slope`, `low`, `high`, `exponent` (b of
        the volumes' power law, 1 - slope), `intercept` and `r2` (least squares only), `classes`, `objects`. None where
        fewer than three classes can be used.

    Raises:
        InputError: As `ecology.abundance.check_samples` and `Classes.number`.
        ValueError: If there are no volumes.
    """
    if objects.volumes is None:
        raise ValueError("spectra need volumes")
    check_samples(objects, samples)
    classes, fits = [], []
    for sample in samples:
        for model in MODELS:
            for convention in CONVENTIONS:
                head = {"sample": sample.sample, "model": model, "convention": convention}
                rows, slopes = _spectrum(objects, sample, head, seed_of(sample, seed))
                classes += [{**head, **row} for row in rows]
                fits += [{**head, **row} for row in slopes]
    return classes, fits


def _spectrum(objects, sample, head, seed):
    """Rows of classes and of fits of one sample, model and convention."""
    volumes, weights, named, chance = _living(objects, sample, MODELS.index(head["model"]))
    if not named.any():
        return [], _fit_rows(None, None, 0, 0)
    classes = CONVENTIONS[head["convention"]]
    numbers = classes.number(volumes)
    span = np.arange(numbers[named].min(), numbers[named].max() + 1)
    low, high = classes.between(span)
    # Whatever is not living in a draw, or lies beyond the classes of what is named living, goes to one class more.
    place = np.where((numbers >= span[0]) & (numbers <= span[-1]), numbers - span[0], len(span))
    counts = np.bincount(place[named], minlength=len(span))
    density = np.bincount(place[named], (weights * volumes)[named], len(span)) / (high - low)
    used = usable_classes(density, counts)
    within, logs, reach = _fitted(volumes, place, named, used)
    values = np.stack([weights * volumes, weights * within, weights * logs], axis=1)
    groups = np.stack([place, np.full(len(place), len(span))], axis=1)
    sums = drawn_sums(values, groups, len(span) + 1, np.stack([chance, 1 - chance], axis=1), seed)[:, :-1]
    point = np.stack([np.bincount(place[named], each[named], len(span)) for each in values.T], axis=-1)
    # One animal more of the sparsest fraction, in the middle of the class.
    spare = np.sqrt(low * high)[:, None] * max(sample.weight(part) for part in sample.fractions)
    columns = {
        "class": span,
        "volume_low_mm3": low,
        "volume_high_mm3": high,
        "esd_low_um": _esd_um(low),
        "esd_high_um": _esd_um(high),
        "objects": counts,
        "biovolume_mm3_m3": density * (high - low),
        "nbss": density,
        **{
            end: sum_[:, 0] / (high - low)
            for end, sum_ in zip(("low", "high"), ends(sums[..., :1], spare, seed), strict=True)
        },
        "used": used,
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    lines = [_slopes(each, low, high, used, reach) for each in (point[None], sums)]
    return rows, _fit_rows(*lines, int(used.sum()), int((named & within).sum()))


def _living(objects, sample, model):
    """Volumes and weights of a sample's objects that may be living; whether named so, and how likely they are."""
    mine, weights = objects.of(sample)
    living = np.asarray(mine.living, bool)
    named = living[mine.taxa]
    chance = named * 1.0 if mine.chances is None else np.minimum(mine.chances[:, living].sum(axis=1), 1)
    kept = named | (chance > 0)
    return mine.volumes[kept, model], weights[kept], named[kept], chance[kept]


def _fitted(volumes, place, named, used):
    """Which objects the likelihood sees, ln(volume / smallest) of these, and ln(largest / smallest).

    They are those between the first and the last class used; the bounds are the smallest and the largest of them, as in
    sizeSpectra, since a class may be filled in part only.
    """
    if not used.any():
        return np.zeros(len(volumes), bool), np.zeros(len(volumes)), 0.0
    first, last = np.flatnonzero(used)[[0, -1]]
    seen = volumes[named & (place >= first) & (place <= last)]
    within = (volumes >= seen.min()) & (volumes <= seen.max())
    return within, np.where(within, np.log(volumes / seen.min()), 0), np.log(seen.max() / seen.min())


def _esd_um(volumes):
    return 1000 * np.cbrt(6 / np.pi * volumes)


def _slopes(sums, low, high, used, reach):
    """Fits both ways to sums `(draws, classes, 3)`; gives slope, intercept and R2 of each method, `(draws,)`."""
    nothing = np.full(len(sums), np.nan)
    if used.sum() < 3:
        return [(nothing, nothing, nothing)] * 2
    line = least_squares(np.sqrt(low * high)[used], (sums[..., 0] / (high - low))[:, used])
    total = sums.sum(axis=1)
    means = total[:, 2] / np.where(total[:, 1] > 0, total[:, 1], np.nan)
    return [line, (likeliest_slope(means, reach), nothing, nothing)]


def _fit_rows(point, drawn, classes, objects):
    """Rows of both methods, from the fits to what was found and to the draws."""
    rows = []
    for place, method in enumerate(("least squares", "maximum likelihood")):
        row = dict.fromkeys(("slope", "low", "high", "exponent", "intercept", "r2"))
        if point is not None and not np.isnan(point[place][0][0]):
            slope, intercept, r2 = (None if np.isnan(each[0]) else float(each[0]) for each in point[place])
            low, high = np.nanquantile(drawn[place][0], [TAIL, 1 - TAIL]).tolist()
            row = {"slope": slope, "low": low, "high": high, "exponent": 1 - slope, "intercept": intercept, "r2": r2}
        rows.append({"method": method, **row, "classes": classes, "objects": objects})
    return rows
