"""Taxa and classes: what the ids of a mask mean, and which class each becomes in training.

`taxa.csv` has the columns `id,name,living`. Ids go up to 65535; 0 is ground.
"""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.errors import InputError, did_you_mean
from plankton_keras.tidy import unguarded

MAX_ID = 65535
LIVING, OTHER_LIVING = "living", "other living"
# Masks of classes have a byte a pixel.
MAX_CLASSES = 256
# Categorical colours that most colour-blind people tell apart (Okabe and Ito 2008), after a gray for class 0.
PALETTE = ("#999999", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


@dataclass(frozen=True)
class Taxon:
    """One line of `taxa.csv`."""

    id: int
    name: str
    living: bool


@dataclass(frozen=True)
class Target:
    """The classes that a model learns and the class of each id.

    Attributes:
        names: Class names; index 0 is everything that is not looked for.
        classes: Class index by id; ids that are absent become `rest`.
        rest: Class index of all other ids from `first_rest` on, or None if other ids are an error.
        first_rest: The lowest id that `rest` applies to; lower unlisted ids become class 0.
        lifeless: Names of classes that are looked for but do not live, such as detritus.
    """

    names: tuple
    classes: dict
    rest: int | None = None
    first_rest: int = 0
    lifeless: tuple = ()

    @property
    def living(self):
        """Whether each class but the first is living, by name.

        Example:

        >>> Target(("ground", "copepod", "detritus"), {0: 0, 8: 1, 3: 2}, lifeless=("detritus",)).living
        {'copepod': True, 'detritus': False}
        """
        return {name: name not in self.lifeless for name in self.names[1:]}

    def class_of(self, mask_id):
        """Gives the class index of an id.

        Example:

        >>> living_target().class_of(7), living_target().class_of(8)
        (0, 1)
        """
        if mask_id in self.classes:
            return self.classes[mask_id]
        if self.rest is None:
            return None
        return self.rest if mask_id >= self.first_rest else 0

    @property
    def by_life(self):
        """Whether it was made of what is living, by `living_target` or `taxa_target`.

        Example:

        >>> living_target().by_life, Target(("ground", "copepod"), {0: 0, 8: 1}).by_life
        (True, False)
        """
        return self.names[-1] in (LIVING, OTHER_LIVING) and not self.lifeless

    def conflict(self, other):
        """Finds an id that one of two targets looks for, while the other takes it for class 0.

        Args:
            other: A `Target`.

        Returns:
            The lowest such id, or None; ids that one of them does not know do not count.

        Example:

        >>> living_target().conflict(Target(("ground", "detritus", "copepod"), {0: 0, 3: 1, 8: 2}))
        3
        """
        for mask_id in range(MAX_ID + 1):
            classes = self.class_of(mask_id), other.class_of(mask_id)
            if None not in classes and (classes[0] > 0) != (classes[1] > 0):
                return mask_id
        return None

    def to_json(self):
        """Gives the target as it stands in the manifest."""
        return {
            "names": list(self.names),
            "classes": {str(key): value for key, value in sorted(self.classes.items())},
            "rest": self.rest,
            "first_rest": self.first_rest,
            **({"lifeless": list(self.lifeless)} if self.lifeless else {}),
        }

    @classmethod
    def from_json(cls, values):
        """Reads what `to_json` gave; early versions knew of no lifeless classes.

        Example:

        >>> Target.from_json(living_target().to_json()) == living_target()
        True
        """
        classes = {int(key): index for key, index in values["classes"].items()}
        lifeless = tuple(values.get("lifeless", ()))
        return cls(tuple(values["names"]), classes, values["rest"], values["first_rest"], lifeless)


def color_of(index):
    """Gives the colour that a class is drawn in, the same everywhere.

    Args:
        index: The class index.

    Returns:
        `(red, green, blue)`, each 0..255.

    Example:

    >>> color_of(0), color_of(1)
    ((153, 153, 153), (230, 159, 0))
    >>> color_of(8) == color_of(1)
    True
    """
    hexadecimal = PALETTE[0] if index == 0 else PALETTE[1 + (index - 1) % (len(PALETTE) - 1)]
    return tuple(bytes.fromhex(hexadecimal[1:]))


def _read_rows(path, columns, what, optional=()):
    """Reads a CSV file with a header; all problems of the header and the ids become an `InputError`.

    Optional columns that are not there are None.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.", "a CSV file in UTF-8.", "check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "a CSV file in UTF-8.", "save it anew as UTF-8.") from None
    reader = csv.DictReader(io.StringIO(text))
    try:
        lines = [(reader.line_num, values) for values in reader]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: {error}.", f"the columns {','.join(columns)}.", "correct the line."
        ) from None
    missing = [column for column in columns if column not in (reader.fieldnames or [])]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(reader.fieldnames or ['nothing'])}."
            + did_you_mean(missing[0], reader.fieldnames or []),
            f"the columns {','.join(columns)}.",
            f"add the column to {what}.",
        )
    rows, seen = [], {}
    for line, values in lines:
        row = dict.fromkeys(optional) | {"line": line}
        there = (name for name in (*columns, *optional) if name in values)
        row |= {name: unguarded((values[name] or "").strip()) for name in there}
        row["id"] = _id(row, path, seen)
        rows.append(row)
    return rows


def _id(row, path, seen):
    """Reads the id of a row; `seen` collects the line of each id."""
    text, line = row["id"], row["line"]
    if not (re.fullmatch(r"0*[0-9]{1,5}", text) and int(text[-5:]) <= MAX_ID):
        raise InputError(
            f"{path}, line {line}: the id is {text!r}.",
            f"a whole number from 0 to {MAX_ID}.",
            "correct the line.",
        )
    found = int(text[-5:])
    if found in seen:
        raise InputError(
            f"{path}, line {line}: the id {text} stands in line {seen[found]} already.",
            "each id once.",
            "remove one of the two lines.",
        )
    seen[found] = line
    return found


def read_taxa(path):
    """Reads `taxa.csv`.

    Args:
        path: A CSV file in UTF-8 with the columns `id,name,living`; `living` is 0 or 1.

    Returns:
        A list of `Taxon` in the order of the file.

    Raises:
        InputError: If a column is missing, an id is no id or stands twice, a taxon has no name, or `living` is not 0 or
            1.
    """
    rows = _read_rows(path, ("id", "name", "living"), "taxa.csv")
    _check_named(rows, path, "name", "taxon")
    return [Taxon(row["id"], row["name"], _is_living(row, path)) for row in rows]


def _check_named(rows, path, column, what):
    """Refuses a row whose taxon or class has no name."""
    unnamed = [row["line"] for row in rows if not row[column]]
    if unnamed:
        raise InputError(f"{path}, line {unnamed[0]}: the {what} has no name.", "a name.", "correct the line.")


def _is_living(row, path):
    """Reads whether a row is of something living."""
    if row["living"] not in ("0", "1"):
        raise InputError(
            f"{path}, line {row['line']}: living is {row['living']!r}.",
            "0 or 1.",
            "say 1 for plankton, 0 for all else.",
        )
    return row["living"] == "1"


def find_taxa(folder):
    """Finds the `taxa.csv` of a folder of scans: in it, or in its parent.

    Args:
        folder: The folder that holds the scans.

    Returns:
        The path, or None.
    """
    folder = Path(folder).resolve()
    return next((path for path in (folder / "taxa.csv", folder.parent / "taxa.csv") if path.is_file()), None)


def living_target(taxa=None, living_from=8):
    """Living or not.

    Args:
        taxa: List of `Taxon`, or None to go by the id alone.
        living_from: The lowest living id where there are no taxa; 8 in the ZooScan challenge.

    Returns:
        A `Target` with the classes `non-living` (ground, detritus, dust) and `living`.

    Example:

    >>> target = living_target([Taxon(0, "ground", False), Taxon(5, "Copepoda", True)])
    >>> target.class_of(5), target.class_of(6)
    (1, None)
    """
    names = ("non-living", LIVING)
    if taxa is None:
        return Target(names, {0: 0}, rest=1, first_rest=living_from)
    return Target(names, {0: 0, **{taxon.id: int(taxon.living) for taxon in taxa}})


def taxa_target(taxa, objects, min_objects=20):
    """One class for each taxon that is common enough.

    Args:
        taxa: List of `Taxon`.
        objects: Number of objects by id in the training scans.
        min_objects: What a living taxon, of all ids of its name, needs to become a class.

    Returns:
        A `Target`: `non-living`, the common living taxa in the order of their ids, then `other living`.

    Raises:
        InputError: If there are more than 256 classes.

    Example:

    >>> taxa = [Taxon(1, "detritus", False), Taxon(8, "Calanus", True), Taxon(9, "Oithona", True)]
    >>> taxa_target(taxa, {1: 90, 8: 40, 9: 3}).names
    ('non-living', 'Calanus', 'other living')
    """
    living = sorted((taxon for taxon in taxa if taxon.living), key=lambda taxon: taxon.id)
    # Two ids of one name are one class.
    found = Counter()
    for taxon in living:
        found[taxon.name] += objects.get(taxon.id, 0)
    common = [taxon for taxon in living if found[taxon.name] >= min_objects]
    names = tuple(dict.fromkeys(["non-living", *(taxon.name for taxon in common), OTHER_LIVING]))
    if len(names) > MAX_CLASSES:
        raise InputError(
            f"{len(names) - 2} taxa have {min_objects} objects or more.",
            f"{MAX_CLASSES - 2} at most: a class index is a byte.",
            "choose a larger --min-objects, or give the classes as --target FILE.csv.",
        )
    classes = {0: 0, **{taxon.id: 0 for taxon in taxa if not taxon.living}}
    classes.update({taxon.id: names.index("other living") for taxon in living})
    classes.update({taxon.id: names.index(taxon.name) for taxon in common})
    return Target(names, classes)


def file_target(path):
    """Classes of one's own.

    Args:
        path: A CSV file with the columns `id,class`, and `living`, 0 or 1, if classes but the first do not live; the
            class of id 0 comes first.

    Returns:
        A `Target`; ids that the file does not list are an error when they are met.

    Raises:
        InputError: If a column is missing, an id is bad, a class lives in one line and not in another, or there are
            fewer than two classes or more than 256.
    """
    rows = _read_rows(path, ("id", "class"), path, optional=("living",))
    _check_named(rows, path, "class", "class")
    ground = [row["class"] for row in rows if row["id"] == 0] or ["non-living"]
    names = tuple(dict.fromkeys([*ground, *(row["class"] for row in rows)]))
    if not 2 <= len(names) <= MAX_CLASSES:
        fix = "name another class." if len(names) < 2 else "give several ids one class."
        raise InputError(f"{path} names {len(names)} classes.", f"2 to {MAX_CLASSES} classes.", fix)
    living = {}
    for row in rows:
        alive = row["living"] is None or _is_living(row, path)
        if living.setdefault(row["class"], alive) != alive:
            what = f"{path}, line {row['line']}: living is {row['living']} of {row['class']!r}, unlike above."
            raise InputError(what, "one value for a class.", "correct one of the lines, or make two classes.")
    lifeless = tuple(name for name in names[1:] if not living[name])
    return Target(names, {0: 0, **{row["id"]: names.index(row["class"]) for row in rows}}, lifeless=lifeless)
