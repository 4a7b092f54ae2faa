"""Scans with masks of one's own: as a prediction folder, so that their objects are measured like others."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plankton_keras.errors import InputError
from plankton_keras.files import write_json
from plankton_keras.given_masks import prediction_of_bands
from plankton_keras.pairs import survey
from plankton_keras.prediction import write_prediction
from plankton_keras.runs import versions
from plankton_keras.scans import open_mask, open_pair
from plankton_keras.taxa import MAX_ID, find_taxa, living_target, read_taxa
from plankton_keras.tiles import Window

# Class indices are bytes, and 0 is the ground.
MOST_CLASSES = 255


@dataclass(frozen=True)
class MaskedScans:
    """Scans and their masks, which take the place of a prediction.

    Attributes:
        folder: Where they lie.
        pairs: List of `pairs.ScanPair`, all with masks.
        living: Whether each class but the ground is living, by name.
        table: uint8 `(65536,)`, class index by id.
        passed_over: Ids in the masks, beside 0, that are of no class.
    """

    folder: Path
    pairs: list
    living: dict
    table: np.ndarray
    passed_over: tuple = ()

    @property
    def content(self):
        """What prediction.json says of them: a dictionary, as `tabulating.read_predictions` gives it."""
        scans = [{"scan": pair.stem, "path": str(pair.scan)} for pair in self.pairs]
        known = {"model": str(self.folder), "model_sha256": None, "threshold": None, "settings": {"gray_range": ""}}
        known |= {"classes": ["ground", *self.living], "living": self.living, "versions": versions()}
        known["passed_over"] = list(self.passed_over)
        return {**known, "status": "done", "scans": scans, "failed": []}

    def write(self, out):
        """Writes the prediction folder that they amount to.

        Args:
            out: The folder; it is made.

        Raises:
            InputError: If a scan or mask is bad.
        """
        out.mkdir(parents=True, exist_ok=True)
        content, counts = self.content, []
        for pair in self.pairs:
            scan, mask = open_pair(pair)
            with scan, mask:
                found = prediction_of_bands(scan, _reader(mask, self.table), len(content["classes"]))
                write_prediction(out, scan, found, content["classes"])
            counts.append(len(found.objects))
        scans = [{**entry, "objects": count} for entry, count in zip(content["scans"], counts, strict=True)]
        write_json(out / "prediction.json", {**content, "scans": scans})


def find_masked(folder):
    """Finds scan/mask pairs to measure; taxa.csv stands among or beside them, or nowhere.

    Args:
        folder: Any path.

    Returns:
        `MaskedScans`; None if it is a prediction folder, no folder, or has no such pairs.

    Raises:
        InputError: If a name or a mask is bad, or as `classes_of`.
    """
    folder = Path(folder)
    if not folder.is_dir() or (folder / "prediction.json").is_file():
        return None
    found, problems = survey(folder)
    pairs = [pair for pair in found if pair.mask]
    if not pairs:
        return None
    if problems:
        raise problems[0]
    path, ids = find_taxa(folder), set()
    for pair in pairs:
        with open_mask(pair.mask) as mask:
            ids |= set(mask.ids())
    living, table = classes_of(ids, path and read_taxa(path))
    return MaskedScans(folder, pairs, living, table, tuple(sorted(each for each in ids if each and not table[each])))


def classes_of(ids, taxa=None):
    """Decides which class each id of the masks is.

    Args:
        ids: Set of the ids that stand in the masks.
        taxa: List of `taxa.Taxon`, or None: one id beside 0 is living; of several, those from 8 on are, as in the
            ZooScan challenge.

    Returns:
        `(living, table)`: a dictionary from the name of each class but the ground to whether it is living, and uint8
        `(65536,)`, class index by id.

    Raises:
        InputError: If an id is no taxon, a taxon is living and not, or there are more than 255 of them.

    Example:

    >>> classes_of({0, 255})[0], classes_of({0, 3, 8})[1][[0, 3, 8]].tolist()
    ({'living': True}, [0, 0, 1])
    """
    table = np.zeros(MAX_ID + 1, np.uint8)
    if taxa is None:
        target = living_target()
        only = len(ids - {0}) == 1
        for each in ids - {0}:
            table[each] = 1 if only else target.class_of(each)
        return {"living": True}, table
    known = {taxon.id: taxon for taxon in taxa}
    unknown = min(ids - {0} - set(known), default=None)
    present = [known[each] for each in sorted(ids - {0}) if each in known]
    living = {taxon.name: taxon.living for taxon in present}
    torn = next((taxon.name for taxon in present if taxon.living != living[taxon.name]), None)
    if torn is not None:
        raise InputError(
            f"The taxon {torn} is living by one line of taxa.csv, and not by another.",
            "each taxon living or not.",
            "correct taxa.csv.",
        )
    if unknown is not None or len(living) > MOST_CLASSES:
        what = f"The masks hold the id {unknown}, which taxa.csv does not." if unknown is not None else None
        raise InputError(
            what or f"The masks hold {len(living)} taxa.",
            f"ids of taxa.csv, at most {MOST_CLASSES} taxa.",
            "correct taxa.csv or the masks.",
        )
    names = list(living)
    for taxon in present:
        table[taxon.id] = 1 + names.index(taxon.name)
    return living, table


def _reader(mask, table):
    return lambda top, bottom: table[mask.read(Window(top, 0, bottom - top, mask.width))]
