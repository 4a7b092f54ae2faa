"""The formats on disk: names of a record's fields, of shards, and the manifest.

tfrecords/README.md describes the format for people.
"""

import dataclasses
import math
import reprlib
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.errors import ArtefactError

FORMAT_VERSION = "1.2"
MANIFEST = "manifest.json"
SPLITS = ("train", "val", "test")
# The fields of a record.
IMAGE, MASK, SCAN, TOP, LEFT = "image", "mask", "scan", "top", "left"
LABEL, SIDE = "label", "side"
# Bytes that the TFRecord framing puts around a record: length and its checksum before, the checksum of the data after.
BEFORE, AFTER = 12, 4
REWRITE = "write it anew: plankton make-tfrecords SCANS --out DIR --overwrite."
# What records are of.
PATCHES, VIGNETTES = "patches", "vignettes"


def shard_name(split, index, count):
    """Names a shard.

    Example:

    >>> shard_name("train", 0, 16)
    'train-00000-of-00016.tfrecord'
    """
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def check_version(found, path, rewrite):
    """Refuses a format of another major version.

    Args:
        found: The version that stands in the file.
        path: The file, for the message.
        rewrite: The command that writes it anew.

    Raises:
        ArtefactError: If the major number is not ours.
    """
    if str(found).split(".")[0] != FORMAT_VERSION.split(".", maxsplit=1)[0]:
        raise ArtefactError(
            f"{path} has format version {found}.",
            f"version {FORMAT_VERSION.split('.', maxsplit=1)[0]}.x, which this plankton_keras reads.",
            f"write it anew: {rewrite}",
        )


@dataclass(frozen=True)
class Shard:
    """One file of records."""

    file: str
    patches: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """One scan that records were cut from; sizes in pixels, digests of the files, and `shift.look` at it."""

    stem: str
    split: str
    height: int
    width: int
    dpi: float | None
    scan_sha256: str
    mask_sha256: str
    look: dict = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Spool:
    """The encoded patches and candidates of one scan, waiting to be put into shards: what a worker hands back.

    Attributes:
        path: TFRecord file, the patches first.
        source: The scan, as it stands in the manifest.
        patches: `(hash, offset, length)` of each framed record of a patch, in the order of the file.
        candidates: The same of the records of candidates.
        windows: `(digest, top, left)` of each patch that `leaks.window_digest` digests.
        class_pixels: Pixels of the patches by class index.
        held: Pixels of all classes but 0 that lie in candidates, and all there are.
    """

    path: Path
    source: Source
    patches: tuple
    candidates: tuple
    windows: tuple
    class_pixels: tuple
    held: tuple


@dataclass(frozen=True)
class Manifest:
    """What a records folder holds; written last, so its presence means that the folder is whole.

    Attributes:
        patch_size: Side of the patches or vignettes in pixels.
        classes: Class names by index.
        target: How mask ids became classes, as `taxa.Target.to_json` gives it.
        class_share: Share of the pixels of the training patches, or of the training vignettes, by class name.
        splits: Shards by split.
        sources: The scans.
        settings: The `RecordsConfig` as JSON.
        kind: What the splits hold: `patches` of scans, or `vignettes`.
        candidates: Shards of vignettes by split, of everything dark on the scans that patches were cut from.
        candidate_share: Share of the training pixels of all classes but the first that lie in candidates, 0..1: what
            is outside is never found. None of vignettes, and where training has no such pixel.
        version: Format version.
    """

    patch_size: int
    classes: tuple
    target: dict
    class_share: dict
    splits: dict
    sources: tuple
    settings: dict
    kind: str = PATCHES
    candidates: dict = dataclasses.field(default_factory=dict)
    candidate_share: float | None = None
    version: str = FORMAT_VERSION

    def shards(self, split, kind=None):
        """Gives the shards of a split, of what the splits hold or of the kind that is named."""
        if kind in (None, self.kind):
            return self.splits.get(split, ())
        return self.candidates.get(split, ()) if kind == VIGNETTES else ()

    def count(self, split, kind=None):
        """Counts the patches or vignettes of a split."""
        return sum(shard.patches for shard in self.shards(split, kind))

    def to_json(self):
        """Gives the manifest as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values, path):
        """Reads what `to_json` gave.

        Args:
            values: The dictionary.
            path: Where it stood, for the message.

        Raises:
            ArtefactError: If the version is not ours or a field is missing.
        """
        check_version(
            values.get("version") if isinstance(values, dict) else None,
            path,
            "plankton make-tfrecords SCANS --out DIR --overwrite",
        )
        try:
            made = cls(
                **{
                    **values,
                    "classes": tuple(values["classes"]),
                    "splits": _shards(values["splits"]),
                    "candidates": _shards(values.get("candidates", {})),
                    "sources": tuple(_checked(Source(**source)) for source in values["sources"]),
                }
            )
            return _checked(made)
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtefactError(
                f"{path} is no manifest of version {FORMAT_VERSION}: {error}.",
                "what make-tfrecords wrote.",
                "run plankton make-tfrecords SCANS --out DIR --overwrite.",
            ) from None


def _shards(splits):
    """Reads the shards of each split."""
    return {split: tuple(_checked(Shard(**shard)) for shard in shards) for split, shards in splits.items()}


def _checked(made):
    """Gives a part of a manifest back; a value of another type than its field has, or below 0, is a TypeError."""
    for item in dataclasses.fields(made):
        value = getattr(made, item.name)
        # A whole number will do for a number.
        kind = float | int | None if item.type == float | None else item.type
        is_number = isinstance(value, float | int)
        if isinstance(value, bool) or not isinstance(value, kind) or (is_number and not 0 <= value < math.inf):
            raise TypeError(f"{item.name} is {reprlib.repr(value)}")
    return made
