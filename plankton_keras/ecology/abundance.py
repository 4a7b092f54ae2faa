"""Abundance and biovolume of the water that was sampled, by taxon, with intervals.

An object stands for w = sub_part x onboard_part / volume animals in a cubic metre. Abundance is the sum of w, biovolume
the sum of w times the object's volume, over all fractions of a sample; times the range of depths both are per square
metre.
"""

import dataclasses
import zlib

import numpy as np

from plankton_keras.ecology.adjusting import adjusted, adjusted_draws
from plankton_keras.ecology.resampling import drawn_sums, ends, one_more
from plankton_keras.errors import InputError
from plankton_keras.intervals import TAIL
from plankton_keras.samples import listed

# Models of an object's volume, in the order of the columns of `Objects.volumes`; `sizes.millimetres` computes them.
MODELS = ("plain", "riddled", "ellipsoid")
# The row of all living taxa together.
TOTAL = "all living"


@dataclasses.dataclass(frozen=True)
class Objects:
    """What was found on scans, a row an object.

    Attributes:
        scans: str `(objects,)`, stems.
        taxa: int `(objects,)`, indices into `names`.
        names: Names of all taxa that there could be, found or not.
        living: A bool for each name.
        volumes: float `(objects, 3)` mm3 by `MODELS`, or None without millimetres.
        chances: float `(objects, names)`, calibrated probabilities, or None where classes are certain.

    Raises:
        ValueError: If shapes do not fit, a volume is not positive, or chances do not add up to 1.
    """

    scans: np.ndarray
    taxa: np.ndarray
    names: tuple
    living: tuple
    volumes: np.ndarray | None = None
    chances: np.ndarray | None = None

    def __post_init__(self):
        count = len(self.scans)
        shapes = {
            "taxa": (self.taxa, (count,)),
            "living": (np.asarray(self.living), (len(self.names),)),
            "volumes": (self.volumes, (count, len(MODELS))),
            "chances": (self.chances, (count, len(self.names))),
        }
        wrong = [name for name, (array, shape) in shapes.items() if array is not None and np.shape(array) != shape]
        if wrong:
            raise ValueError(
                f"of {count} objects and {len(self.names)} names, the shape of {', '.join(wrong)} is wrong"
            )
        if self.volumes is not None and not (np.asarray(self.volumes) > 0).all():
            raise ValueError("volumes must be positive")
        if self.chances is not None and not np.allclose(np.sum(self.chances, axis=1), 1, atol=1e-3):
            raise ValueError("chances of an object must add up to 1")

    def of(self, sample):
        """Gives the objects of one sample, and the weight of each.

        Args:
            sample: A `sample_tables.Sample` with a volume.

        Returns:
            `Objects`, and float64 `(objects,)`, animals in a cubic metre that each stands for.
        """
        by_scan = {part.scan: sample.weight(part) for part in sample.fractions}
        rows = np.flatnonzero(np.isin(self.scans, list(by_scan)))
        mine = dataclasses.replace(
            self,
            scans=np.asarray(self.scans)[rows],
            taxa=np.asarray(self.taxa, np.int64)[rows],
            volumes=None if self.volumes is None else np.asarray(self.volumes, np.float64)[rows],
            chances=None if self.chances is None else np.asarray(self.chances, np.float64)[rows],
        )
        return mine, np.array([by_scan[scan] for scan in mine.scans.tolist()], np.float64)


def check_samples(objects, samples):
    """Refuses objects of scans that no sample has, and samples without volume: they would be lost silently.

    Raises:
        InputError: If there are any.
    """
    known = {part.scan for sample in samples for part in sample.fractions}
    lost = sorted(set(np.asarray(objects.scans).tolist()) - known)
    empty = [sample.sample for sample in samples if not sample.volume_m3]
    if lost or empty:
        what = [f"No sample has {listed(lost)}."] if lost else []
        what += [f"There is no volume_m3 of {', '.join(empty)}."] if empty else []
        raise InputError(" ".join(what), "a sample, with the water filtered, of every scan.", "complete samples.csv.")


def seed_of(sample, seed):
    """Gives a sample its own draws, whatever other samples there are."""
    return (zlib.crc32(sample.sample.encode()) + seed) % 2**32


def abundances(objects, samples, confusion=None, seed=0):
    """Tabulates abundance and biovolume.

    Args:
        objects: `Objects`.
        samples: List of `sample_tables.Sample`.
        confusion: Objects of validation `(classes, classes)`, rows true, columns predicted, to adjust by; or None. Its
            classes are the first of the names. Objects of the others, such as those that are not classified, count as
            the likeliest of its classes.
        seed: Of the intervals.

    Returns:
        A list of dictionaries, a row each, for every sample, taxon (those without an object too, and all living
        together), quantity, model and unit: `sample`, `taxon`, `living`, `objects` (counted), `quantity`, `model`,
        `unit`, `value` (of the classes as named), `expected` (of the probabilities), `low` and `high` (95 %: counting,
        sub-sampling and classification), and `adjusted`, `adjusted_low`, `adjusted_high` (abundance only). None where
        nothing is known: per square metre without depths, biovolume without millimetres, `high` of the biovolume of a
        taxon that was not seen (nothing bears its name, and by the probabilities there is less than one object of it),
        `expected` of a name that no probability is of, such as unclassified (its interval is that of its count),
        `adjusted` of names that are no class of the matrix.

    Raises:
        InputError: As `check_samples`.

    Example, an object of a quarter of the sample from 203.5 m3:

    >>> from plankton_keras.sample_tables import Fraction, Sample
    >>> sample = Sample(sample="s", volume_m3=203.5, fractions=(Fraction(scan="a", sub_part=4),))
    >>> rows = abundances(Objects(np.array(["a"]), np.array([0]), ("copepod",), (True,)), [sample])
    >>> rows[0]["taxon"], rows[0]["unit"], round(rows[0]["value"], 7)
    ('copepod', 'ind/m3', 0.019656)
    """
    check_samples(objects, samples)
    return [row for sample in samples for row in _rows(objects, sample, confusion, seed_of(sample, seed))]


def _rows(objects, sample, confusion, seed):
    """Rows of one sample."""
    mine, weights = objects.of(sample)
    found = {**_estimates(mine, sample, weights, seed), **_adjustments(mine, sample, weights, confusion, seed)}
    names = [*zip(mine.names, map(bool, mine.living), strict=True), (TOTAL, True)]
    counts = np.bincount(mine.taxa, minlength=len(mine.names))
    counts = np.append(counts, counts[list(map(bool, mine.living))].sum())
    kinds = [("abundance", "", "ind"), *(("biovolume", model, "mm3") for model in MODELS)]
    for place, (taxon, living) in enumerate(names):
        for column, (quantity, model, unit) in enumerate(kinds):
            for per, factor in (("m3", 1.0), ("m2", sample.depth_range)):
                yield {
                    "sample": sample.sample,
                    "taxon": taxon,
                    "living": living,
                    "objects": int(counts[place]),
                    "quantity": quantity,
                    "model": model,
                    "unit": f"{unit}/{per}",
                    **{name: _scaled(table, place, column, factor) for name, table in found.items()},
                }


def _scaled(table, place, column, factor):
    if table is None or factor is None or column >= table.shape[1] or np.isnan(table[place, column]):
        return None
    return float(table[place, column] * factor)


def _with_total(table, living):
    """Adds a row of the sum of living taxa; the second last axis is taxa."""
    return np.concatenate([table, table[..., np.flatnonzero(living), :].sum(axis=-2, keepdims=True)], axis=-2)


def _estimates(mine, sample, weights, seed):
    """Value, expected, low and high, each `(taxa and total, quantities)`."""
    num_taxa = len(mine.names)
    values = weights[:, None] if mine.volumes is None else weights[:, None] * np.insert(mine.volumes, 0, 1, axis=1)
    certain = np.eye(num_taxa)[mine.taxa]
    chances = certain if mine.chances is None else mine.chances
    groups = mine.taxa[:, None] if mine.chances is None else np.broadcast_to(np.arange(num_taxa), chances.shape)
    sums = drawn_sums(values, groups, num_taxa, mine.chances, seed)
    # One animal more of the sparsest fraction; as large as the largest of its taxon, weighed by how surely it is of it.
    largest = (chances[:, :, None] * values[:, None, :]).max(axis=0, initial=0)
    spare = np.concatenate([largest, largest[np.flatnonzero(mine.living)].max(axis=0, initial=0)[None]])
    # A trace of probability in each of many objects does not tell how large one would be.
    seen = np.maximum(certain.sum(axis=0), chances.sum(axis=0))
    spare[np.append(seen, seen[np.flatnonzero(mine.living)].sum()) < 1] = np.nan
    spare[:, 0] = _sparsest(sample)
    drawn, expected = _with_total(sums, mine.living), _with_total(chances.T @ values, mine.living)
    # No probability is of what bears such a name, as of the unclassified: of it no more than its count is known.
    unsure = np.flatnonzero(certain.any(axis=0) & ~chances.any(axis=0))
    if len(unsure):
        drawn[:, unsure] = drawn_sums(values, mine.taxa[:, None], num_taxa, None, seed)[:, unsure]
        spare[unsure, 1:] = (certain[:, unsure, None] * values[:, None, 1:]).max(axis=0)
        expected[unsure] = np.nan
    low, high = ends(drawn, spare, seed)
    return {
        "value": _with_total(certain.T @ values, mine.living),
        "expected": None if mine.chances is None else expected,
        "low": low,
        "high": high,
    }


def _adjustments(mine, sample, weights, confusion, seed):
    """The abundance adjusted for confusion, each `(taxa and total, 1)`."""
    names = ("adjusted", "adjusted_low", "adjusted_high")
    if confusion is None:
        return dict.fromkeys(names)
    classes = len(confusion)
    called = mine.taxa if mine.chances is None else mine.chances[:, :classes].argmax(axis=1)
    sums = drawn_sums(weights[:, None], called[:, None], classes, None, seed)[..., 0]
    # One object more of each class could have been called so; of all living together, one.
    more = _sparsest(sample) * one_more(len(sums), seed)[:, None]

    def of_names(table):
        unknown = np.full((*table.shape[:-1], len(mine.names) - classes), np.nan)
        total = table[..., np.flatnonzero(mine.living[:classes])].sum(axis=-1, keepdims=True)
        return np.concatenate([table, unknown, total], axis=-1)

    value = of_names(adjusted(np.bincount(called, weights, classes), confusion))
    drawn = of_names(adjusted_draws(sums, confusion, seed))
    upper = np.column_stack([of_names(adjusted_draws(sums + more, confusion, seed))[:, :-1], drawn[:, -1:] + more])
    ends_of = np.quantile(drawn, TAIL, axis=0), np.quantile(upper, 1 - TAIL, axis=0)
    return {name: table[:, None] for name, table in zip(names, (value, *ends_of), strict=True)}


def _sparsest(sample):
    """Gives how many animals in a cubic metre an object of the sparsest fraction stands for."""
    return max(sample.weight(part) for part in sample.fractions)
