"""The same picture in two splits, or in what a model was trained on and what it is scored on.

Equal is what has equal bytes (files of scans), or equal pixels (windows of scans, vignettes): refused. Vignettes that
only look the same are warned of.
"""

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass

import numpy as np

from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.files import sha256
from plankton_keras.lookalikes import near_duplicates

log = logging.getLogger(__name__)

# Bytes of a file that are looked at before it is read whole.
PROBE = 2**16


@dataclass(frozen=True)
class Place:
    """Where a picture stands.

    Attributes:
        split: `train`, `val` or `test`.
        name: Stem of the scan, or path of the file.
        note: Where in a scan, or the class of a vignette.
    """

    split: str
    name: str
    note: str = ""

    def __str__(self):
        note = f", {self.note}" if self.note else ""
        return f"{self.name} ({self.split}{note})"


def find_equal(entries):
    """Finds what stands in two places.

    Args:
        entries: `(digest, Place)` of each picture.

    Returns:
        `(between, inside)`: lists of `(Place, Place)`, one for each digest and further split that it stands in, and one
        for each further place within a split; in the order of the entries.

    Example:

    >>> places = [("d1", Place("train", "a")), ("d2", Place("train", "b")), ("d1", Place("val", "c"))]
    >>> [f"{first} = {second}" for first, second in find_equal(places)[0]]
    ['a (train) = c (val)']
    """
    seen, between, inside = {}, [], []
    for digest, place in entries:
        known = seen.setdefault(digest, {})
        if place.split in known:
            inside.append((known[place.split], place))
            continue
        if known:
            between.append((next(iter(known.values())), place))
        known[place.split] = place
    return between, inside


def _refuse(between, what, expected, fix, error=InputError):
    """Raises an error that names the first pair and counts the others."""
    if between:
        first, second = between[0]
        others = len(between) - 1
        more = f", and so are {others} other pairs" if others > 1 else ", and so is another pair" if others else ""
        raise error(f"{first} and {second} are {what}{more}.", expected, fix)


def check_files(files, kind="scan"):
    """Refuses equal files in two splits, before any work: only files that could be equal are read.

    Args:
        files: `(split, path)` of each file.
        kind: What they are, for the message: `scan`, or `vignette`.

    Returns:
        `(Place, Place)` of each pair of equal files within a split.

    Raises:
        InputError: If two splits have a file of equal bytes; both are named.
    """
    between, inside = equal_files(files)
    _refuse(between, f"the same {kind}", f"each {kind} in one split only.", "remove one of the two.")
    return inside


def equal_files(files):
    """Finds files of equal bytes; only those that could be equal are read.

    Args:
        files: `(split, path)` of each file.

    Returns:
        As `find_equal`.
    """
    digests = _digests_where_needed([path for _, path in files])
    return find_equal((digests[path], Place(split, str(path))) for split, path in files)


def check_scans(pairs):
    """Refuses a scan that stands in two splits, and warns of one that stands in a split twice.

    Args:
        pairs: List of `pairs.ScanPair` with a split each.

    Raises:
        InputError: As `check_files`.
    """
    twice = check_files([(pair.split, pair.scan) for pair in pairs])
    if twice:
        log.warning("%s and %s are the same scan%s: it counts twice", *twice[0], _and_more(twice))


def check_records(manifest, folder):
    """Refuses records in which one scan stands in two splits, such as earlier versions wrote.

    Args:
        manifest: A `schema.Manifest`.
        folder: The records folder, for the message.

    Raises:
        ArtefactError: If there is one; both places are named.
    """
    between, _ = find_equal((each.scan_sha256, Place(each.split, each.stem)) for each in manifest.sources)
    _refuse(
        between,
        f"the same scan in the records {folder}",
        "each scan in one split only.",
        "remove one of the two scans, and write the records anew: plankton make-tfrecords SCANS --out DIR --overwrite.",
        ArtefactError,
    )


def _digests_where_needed(paths):
    """Gives each file a key, equal where the files are: the size where it is the only one, else digests besides."""
    keys = {path: (path.stat().st_size,) for path in paths}
    for digest in (_probe, sha256):
        counts = Counter(keys.values())
        keys = {path: (*key, digest(path)) if counts[key] > 1 else key for path, key in keys.items()}
    return keys


def _probe(path):
    """Reads some bytes from the middle of a file."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - PROBE) // 2)
        return file.read(PROBE)


def window_digest(patch):
    """Digests the pixels of a patch, unless it is bare ground or flat, which may be equal by chance.

    Args:
        patch: A `patches.Patch`.

    Returns:
        16 hexadecimal digits, or None.

    Example:

    >>> from types import SimpleNamespace
    >>> image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    >>> [window_digest(SimpleNamespace(image=image, mask=mask)) for mask in (image > 0, image > 99)]
    ['8b4c457320f7c635', None]
    """
    if not patch.mask.any() or patch.image.min() == patch.image.max():
        return None
    return _digest(patch.image)


def check_windows(scans):
    """Refuses scans of two splits that share a window, such as one scan stored in two formats, or a part of another.

    Args:
        scans: `(split, stem, windows)` of each scan; windows are `(digest, top, left)`, pixels of the scan.

    Raises:
        InputError: If two splits have a window of equal pixels; both are named.
    """
    between, _ = find_equal(
        (digest, Place(split, stem, f"row {top}, column {left}"))
        for split, stem, windows in scans
        for digest, top, left in windows
    )
    _refuse(
        between,
        "windows of equal pixels",
        "scans in different splits that share no picture.",
        "remove one of the two scans, or put both into one split.",
    )


def vignette_digests(images, sides):
    """Digests vignettes as a model sees them.

    Args:
        images: uint8 `(count, size, size, ...)`, as `vignettes.squared` gives them.
        sides: `(count,)` or `(count, 1)`, longer side of the object in pixels.

    Returns:
        A list of 16 hexadecimal digits for each.

    Example:

    >>> same = np.zeros((2, 4, 4), np.uint8)
    >>> len(set(vignette_digests(same, [7, 7]))), len(set(vignette_digests(same, [7, 8])))
    (1, 2)
    """
    return [_digest(image, int(side)) for image, side in zip(images, np.ravel(sides), strict=True)]


def _digest(pixels, *numbers):
    """Digests an array of bytes, its shape, and whole numbers: 64 bits, so that chance does not matter."""
    said = f"{pixels.shape} {numbers} ".encode()
    return hashlib.blake2b(said + np.ascontiguousarray(pixels).tobytes(), digest_size=8).hexdigest()


def trained_on(entries, known):
    """Names what a model was trained on.

    Args:
        entries: `(digest, name)` of each scan or vignette to score.
        known: Digests of those that the model was trained on.

    Returns:
        A list of names, in the order of the entries.

    Example:

    >>> trained_on([("d1", "a"), ("d2", "b")], {"d2": "an old name"})
    ['b']
    """
    return [name for digest, name in entries if digest in known]


@dataclass(frozen=True)
class Vignette:
    """What is compared of a vignette.

    Attributes:
        place: Where it stands; the note is its class.
        digest: As `vignette_digests` gives it.
        thumbnail: As `lookalikes.thumbnail` gives it.
        shape: Height and width in pixels, before it was squared.
    """

    place: Place
    digest: str
    thumbnail: np.ndarray
    shape: tuple


def check_vignettes(vignettes):
    """Refuses equal vignettes in two splits; warns of equal ones in two classes, and of near-duplicates between splits.

    Args:
        vignettes: List of `Vignette`.

    Raises:
        InputError: If two splits have a vignette of equal pixels; both are named.
    """
    between, inside = find_equal((each.digest, each.place) for each in vignettes)
    _refuse(between, "equal pixel by pixel", "each vignette in one split only.", "remove one of the two.")
    torn = [f"{first} and {second}" for first, second in inside if first.note != second.note]
    if torn:
        log.warning("Equal vignettes stand in different classes: %s%s", torn[0], _and_more(torn))
    columns = ([each.thumbnail for each in vignettes], [each.shape for each in vignettes])
    near = near_duplicates(*map(np.array, columns), np.array([each.place.split for each in vignettes]))
    if len(near):
        first, second = (vignettes[index].place for index in near[0])
        log.warning("Vignettes in different splits look the same: %s and %s%s", first, second, _and_more(near))


def _and_more(pairs):
    """Words how many pairs there are beside the one that is named."""
    return f", and {len(pairs) - 1} more pairs" if len(pairs) > 1 else ""
