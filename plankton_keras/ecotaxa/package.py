"""Packages for EcoTaxa: `ecotaxa_*.zip` files with tables and vignettes, from plain values."""

import contextlib
import csv
import io
import re
import unicodedata
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from plankton_keras.ecotaxa.cells import Columns, is_missing
from plankton_keras.ecotaxa.rules import MAX_SIDE, MAX_TABLES, PARENTS, STATUSES
from plankton_keras.errors import InputError
from plankton_keras.files import free_name, whole_file
from plankton_keras.vignette_pictures import Picture, encode_picture

# The least that a .zip can say, so that the same objects give the same bytes on any day.
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class PackageObject:
    """An object to hand to EcoTaxa.

    EcoTaxa has no column for the score of a class, so that it stands in a free one, `object_score`.

    Attributes:
        name: `object_id`, unique over all packages of a project.
        picture: The `vignette_pictures.Picture`.
        sample: `sample_id`.
        acquisition: `acq_id`; it belongs to this sample only.
        process: `process_id`.
        category: Name of a taxon of EcoTaxa, `Child<Parent` where the name alone is ambiguous; None is unclassified.
        score: How sure the category is, 0..1, or None.
        status: One of `ecotaxa.rules.STATUSES`; it only counts with a category.
        fields: Further `object_*` columns by name without prefix: `lat`, `date`, `depth_min`, `area`, ... Numbers are
            written as numbers; None and NaN are left empty.
    """

    name: str
    picture: Picture
    sample: str
    acquisition: str
    process: str
    category: str | None = None
    score: float | None = None
    status: str = "predicted"
    fields: dict = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How large files become.

    Attributes:
        rows: Objects in a table; its values are held until it is written.
        tables: Tables in a .zip; EcoTaxa takes 2000.
        bytes: Bytes in a .zip before the next one is begun; with its last table it stays below 500 MB.
    """

    rows: int = 2000
    tables: int = MAX_TABLES
    bytes: int = 400_000_000


def write_packages(out, stem, objects, parents, limits=None, shorten=(), taken=None):
    """Writes `ecotaxa_STEM.zip`, and `ecotaxa_STEM_2.zip` and so on where one becomes too large; all, or none.

    The same objects in the same order give the same bytes. Tables are `ecotaxa_STEM_0001.tsv` and so on, counted over
    all files, since EcoTaxa passes over a table whose name it knows; the vignettes of a table stand in `STEM_0001/`.
    The columns of a ZooScan come first in their order, then others by name. Columns without a value are left out.

    Args:
        out: The folder.
        stem: Name of what the objects are of, such as that of a scan.
        objects: Iterable of `PackageObject`; one at a time is held, and the rows of one table.
        parents: Columns of samples, acquisitions and processes: `{"sample": {ID: {NAME: value}}, "acq": ..., "process":
            ...}`, names without prefix; each id of an object has its entry.
        limits: A `Limits`, or None for the default.
        shorten: Names of columns whose texts are cut to 250 characters.
        taken: Set of the names, in small letters, of what else is packed into this folder, to which the stem's is
            added: what would have the same name is numbered. Or None.

    Returns:
        Paths of the files; none where there is no object.

    Raises:
        InputError: If two objects have one name, an id has no entry, a status is unknown, an acquisition belongs to two
            samples, a picture is too large, or a value does not fit its column (`ecotaxa.cells.Columns`).
    """
    with contextlib.ExitStack() as stack:
        taken = set() if taken is None else taken
        writer = _Writer(Path(out), file_name(stem), taken, limits or Limits(), Columns(shorten), stack)
        samples, names = {}, set()
        for each in objects:
            _check(each, parents, samples, names)
            writer.add(_row(each, parents), each.picture)
        return writer.finish()


def file_name(text):
    """Makes a name that any file system and any .zip takes: letters without accents, digits, `.`, `-` and `_`.

    Example:

    >>> file_name("Été 2009/B<1>")
    'Ete_2009_B_1_'
    """
    plain = unicodedata.normalize("NFKD", str(text)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]", "_", plain)[:100] or "_"


def _check(each, parents, samples, names):
    """Refuses what EcoTaxa would refuse, or mix up, of an object."""
    if each.name.strip() in names:
        raise InputError(f"Two objects are called {each.name}.", "a name of its own for each.", "rename one.")
    names.add(each.name.strip())
    for prefix, identifier in {"object": each.name, **_ids(each)}.items():
        if is_missing(identifier):
            raise InputError(f"{each.name!r} has the {prefix}_id {identifier!r}.", "a name.", "name it.")
    for prefix, identifier in _ids(each).items():
        if identifier not in parents[prefix]:
            raise InputError(
                f"{each.name} has the {prefix}_id {identifier!r}, which is not described.",
                f"an entry for it among those of {prefix}_*.",
                "add it.",
            )
    if samples.setdefault(each.acquisition, each.sample) != each.sample:
        raise InputError(
            f"The acquisition {each.acquisition} belongs to the samples {samples[each.acquisition]} and {each.sample}.",
            "an acquisition of one sample.",
            "rename one of the two acquisitions.",
        )
    if each.status not in STATUSES:
        raise InputError(f"{each.name} has the status {each.status!r}.", f"{', '.join(STATUSES)}.", "mend it.")
    if max(each.picture.pixels.shape) > MAX_SIDE:
        height, width = each.picture.pixels.shape
        raise InputError(
            f"The vignette of {each.name} has {width} x {height} pixels.",
            f"at most {MAX_SIDE} a side: EcoTaxa takes no more.",
            "leave the object out, such as the frame of the scan.",
        )


def _ids(each):
    """Gives the ids of an object's parents by prefix."""
    return dict(zip(PARENTS, (each.process, each.acquisition, each.sample), strict=True))


def _row(each, parents):
    """Gives the values of an object by column, without its picture's name."""
    row = {f"object_{name}": value for name, value in each.fields.items()}
    row.update(img_rank=0, object_id=each.name, object_score=each.score)
    if each.category is not None:
        row.update(object_annotation_category=each.category, object_annotation_status=each.status)
    for prefix, identifier in _ids(each).items():
        row.update({f"{prefix}_{name}": value for name, value in parents[prefix][identifier].items()})
        row[f"{prefix}_id"] = identifier
    return row


class _Writer:
    """Fills one .zip after the other; a table is written when its pictures are."""

    def __init__(self, out, stem, packed, limits, columns, stack):
        self.out, self.stem, self.packed = out, free_name(stem, packed), packed
        self.limits, self.columns, self.stack = limits, columns, stack
        self.paths, self.rows, self.taken = [], [], set()
        self.archive, self.bytes, self.tables, self.table = None, 0, 0, 1

    def add(self, row, picture):
        """Takes a row and its picture."""
        content = encode_picture(picture)
        # Tables are compressed, so that the plain text is more than what they take.
        size = len(content) + sum(len(str(value)) + 1 for value in row.values())
        if self.archive and self.bytes + size > self.limits.bytes:
            self._close()
        if not self.archive:
            self._open()
        name = self._free_name(row["object_id"])
        self._store(name, content, zipfile.ZIP_STORED)
        self.rows.append({"img_file_name": name, **row})
        self.bytes += size
        if len(self.rows) == self.limits.rows:
            self._store_table()
        if self.tables == self.limits.tables:
            self._close()

    def finish(self):
        """Ends the last file; gives the paths."""
        self._close()
        return self.paths

    def _free_name(self, name):
        """Names a picture."""
        return f"{free_name(f'{self.stem}_{self.table:04d}/{file_name(name)}', self.taken)}.png"

    def _open(self):
        name = free_name(self.stem, self.packed) if self.paths else self.stem
        self.paths.append(self.out / f"ecotaxa_{name}.zip")
        partial = self.stack.enter_context(whole_file(self.paths[-1]))
        self.archive = self.stack.enter_context(zipfile.ZipFile(partial, "w"))
        self.bytes = self.tables = 0

    def _close(self):
        if self.rows:
            self._store_table()
        if self.archive:
            self.archive.close()
        self.archive = None

    def _store_table(self):
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", quotechar='"', lineterminator="\n")
        writer.writerows(self.columns.table(self.rows))
        # EcoTaxa reads Latin-1 unless there is a byte order mark.
        encoding = "ascii" if text.getvalue().isascii() else "utf-8-sig"
        self._store(f"ecotaxa_{self.stem}_{self.table:04d}.tsv", text.getvalue().encode(encoding), zipfile.ZIP_DEFLATED)
        self.rows, self.taken = [], set()
        self.table, self.tables = self.table + 1, self.tables + 1

    def _store(self, name, content, compression):
        entry = zipfile.ZipInfo(name, EPOCH)
        entry.compress_type, entry.create_system, entry.external_attr = compression, 3, 0o644 << 16
        self.archive.writestr(entry, content)
