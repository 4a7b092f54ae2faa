"""What is scored: scans whose truth is known, opened one at a time, and labelled vignettes."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plankton_keras.data.records import read_manifest, rebuild_scans
from plankton_keras.data.vignette_records import read_sources, read_vignettes
from plankton_keras.ecotaxa.labels import find_labelled
from plankton_keras.ecotaxa.tables import is_ecotaxa_package
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.files import sha256
from plankton_keras.findings import refuse
from plankton_keras.leaks import trained_on, vignette_digests
from plankton_keras.pairs import find_pairs
from plankton_keras.patches import lookup_table
from plankton_keras.scan_checks import check_headers
from plankton_keras.scans import ArrayScan, open_pair
from plankton_keras.schema import MANIFEST
from plankton_keras.vignettes import find_vignettes, load_vignettes, split_folders

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Truth:
    """A scan with a known truth, opened when its turn comes.

    Attributes:
        stem: Name of the scan.
        digest: SHA-256 of the scan's file.
        opened: Function of a `taxa.Target` to a context manager of `(scan, read_truth)`: an open scan, and a function
            of a `Window` to uint8 class indices.
    """

    stem: str
    digest: str
    opened: Callable


def truths_of_pairs(folder, split, gray_range=None):
    """Finds scan/mask pairs to score.

    Args:
        folder: A folder of pairs; with sub-folders of splits only `split` is taken.
        split: Name of the split.
        gray_range: As for `scans.open_scan`.

    Returns:
        A list of `Truth`.

    Raises:
        InputError: If there is nothing to score, or a scan or mask is bad.
    """
    pairs = [pair for pair in find_pairs(folder) if pair.split in (None, split) and pair.mask is not None]
    if not pairs:
        raise InputError(
            f"{folder} has no masks in the split {split!r}.", "scan/mask pairs.", "choose another --split."
        )

    refuse(check_headers(pairs))

    def opener(pair):
        @contextlib.contextmanager
        def opened(target):
            scan, mask = open_pair(pair, gray_range)
            with scan, mask:
                table = lookup_table(target, mask.ids(), mask.path)
                yield scan, lambda window: table[mask.read(window)]

        return opened

    return [Truth(pair.stem, sha256(pair.scan), opener(pair)) for pair in pairs]


def truths_of_records(folder, split, gray_range=None):
    """Takes the scans of a records folder to score; they are put together from their patches.

    Args:
        folder: A records folder.
        split: Name of the split.
        gray_range: What was asked for, which is told to have no effect.

    Returns:
        A list of `Truth`; its scans are in the classes of the records, and a target of other classes is refused when
        they are opened.

    Raises:
        ArtefactError: If the records are damaged or have no such split.
    """
    manifest = read_manifest(folder)
    if gray_range:
        log.warning("%s holds records, of 8 bits: --gray-range is not applied", folder)
    scans = rebuild_scans(folder, manifest, split)

    def opener(source):
        @contextlib.contextmanager
        def opened(target):
            if target.names != manifest.classes:
                raise ArtefactError(
                    f"{folder} has the classes {', '.join(manifest.classes)}, but a model {', '.join(target.names)}.",
                    "the classes that the model was trained on.",
                    "score it on the folder of scans and masks instead.",
                )
            image, mask = scans[source.stem]
            yield ArrayScan(source.stem, image, source.dpi), lambda window: np.asarray(mask[window.slices])

        return opened

    return [
        Truth(source.stem, source.scan_sha256, opener(source)) for source in manifest.sources if source.split == split
    ]


def truths_of_vignettes(data, split, classifier):
    """Reads labelled vignettes to score, from records or from folders named after classes.

    Args:
        data: A records folder of vignettes, or a folder `CLASS/NAME.jpg`.
        split: Name of the split; a folder without splits is read whole.
        classifier: The `predictors.Classifier` to score.

    Returns:
        `(images, sides, labels)` as `vignettes.load_vignettes` gives them.

    Raises:
        ArtefactError: If the records have other classes.
        InputError: If there is nothing to read, or a file is no picture.
    """
    if not (Path(data) / MANIFEST).is_file():
        return load_vignettes(_labelled(data, split), classifier.classes, classifier.size)
    manifest = read_manifest(data)
    if manifest.classes != classifier.classes:
        raise ArtefactError(
            f"{data} has other classes than {classifier.source}.",
            "the classes that it was trained on.",
            "check the path.",
        )
    return read_vignettes(data, manifest, split)


def _labelled(data, split):
    """Finds the labelled vignettes of a split in folders named after classes; without splits, or of EcoTaxa, all."""
    if is_ecotaxa_package(data):
        return find_labelled(data, val_fraction=0)
    found = find_vignettes(data, val_fraction=0)
    return [vignette for vignette in found if vignette.split == split] if split_folders(data) else found


def seen_scans(truths, known):
    """Names the scans that a model knows.

    Args:
        truths: List of `Truth`.
        known: The model's `training_scans` or `validation_scans`: stem by SHA-256.

    Returns:
        A list of stems; none where the evaluation is honest.
    """
    return trained_on(((truth.digest, truth.stem) for truth in truths), known)


def seen_vignettes(data, split, vignettes, classifier):
    """Names the vignettes that a model was trained on.

    Args:
        data: As for `truths_of_vignettes`.
        split: As for `truths_of_vignettes`.
        vignettes: What `truths_of_vignettes` gave.
        classifier: The `predictors.Classifier` to score.

    Returns:
        A list of `CLASS/NAME.jpg`, or of the stems of scans for candidates of records of scans; none where the
        evaluation is honest, or the run is from before its vignettes were noted.
    """
    images, sides, _ = vignettes
    is_records = (Path(data) / MANIFEST).is_file()
    manifest = read_manifest(data) if is_records else None
    scans = [source for source in manifest.sources if source.split == split] if is_records else []
    if scans:
        return trained_on(((source.scan_sha256, source.stem) for source in scans), classifier.training_scans)
    seen = trained_on(
        zip(vignette_digests(images[..., 0], sides), range(len(images)), strict=True), classifier.training_vignettes
    )
    if not seen:
        return []
    if is_records:
        names = read_sources(data, manifest, split)
    else:
        names = [f"{each.label}/{each.path.name}" for each in _labelled(data, split)]
    return [names[index] for index in seen]
