"""What comes back from EcoTaxa, its exports with images, as labelled vignettes to train on."""

from collections import Counter

from plankton_keras.ecotaxa.rules import MISSING
from plankton_keras.ecotaxa.tables import DAMAGED, Package, column_name, is_types_row
from plankton_keras.ecotaxa.values import number_of
from plankton_keras.errors import InputError
from plankton_keras.vignettes import Labelled, deal

NEEDED = ("img_file_name", "object_id", "object_annotation_status", "object_annotation_category")
EXPORT = "export the project from EcoTaxa again, with images and annotations."


def find_labelled(path, val_fraction, statuses=("validated",), seed=0):
    """Finds the objects of a package whose class a person has confirmed.

    The class is the category as EcoTaxa names it, `Child<Parent` where it does, so that equal children of two parents
    stay apart and a prediction of the class can be sent back. Of several images of an object the one of the lowest rank
    is taken.

    Args:
        path: A .zip file or a folder with tables and images.
        val_fraction: Share for validation, by the hash of a picture's bytes as in `vignettes.find_vignettes`.
        statuses: Which statuses count.
        seed: As for `vignettes.find_vignettes`.

    Returns:
        A list of `vignettes.Labelled`, by class and name; pictures in a .zip stay there.

    Raises:
        InputError: If it is no package, columns or images are missing, a table is damaged, an object has two
            categories, or fewer than two classes are found.
    """
    package, objects, seen = Package(path), {}, Counter()
    if not package.tables:
        raise InputError(f"{path} holds no table of EcoTaxa.", "ecotaxa*.tsv or ecotaxa*.txt.", "check the path.")
    for table in package.tables:
        for row, values in _rows(package, table):
            status = values["object_annotation_status"].lower()
            seen[status or "without status"] += 1
            if status in statuses:
                _take(package, (table, row), values, objects)
    labels = {label for _, label, _ in objects.values()}
    if len(labels) < 2:
        has = ", ".join(f"{count} {status}" for status, count in sorted(seen.items())) or "none"
        raise InputError(
            f"{path} has fewer than two classes of {' or '.join(statuses)} objects; of all its rows: {has}.",
            "two classes or more.",
            "validate objects in EcoTaxa first, then export them.",
        )
    found = sorted((label, picture) for _, label, picture in objects.values())
    return [Labelled(package.at(name), label, deal(package.at(name), val_fraction, seed)) for label, name in found]


def _rows(package, table):
    """Reads the rows of a table by column, spaces off; gives each with its number."""
    row = 0
    try:
        rows = enumerate(package.rows(table), start=1)
        columns = [column_name(cell) for cell in next(rows, (0, []))[1]]
        missing = [name for name in NEEDED if name not in columns]
        if missing:
            raise InputError(f"{package.path}: {table} has no column {missing[0]}.", f"{', '.join(NEEDED)}.", EXPORT)
        for row, cells in rows:
            if cells and (row > 2 or not is_types_row(cells)):
                yield row, dict(zip(columns, (*map(str.strip, cells), *[""] * len(columns)), strict=False))
    except DAMAGED as error:
        raise InputError(
            f"{package.path}: {table} cannot be read after row {row}: {error}.", "a whole table.", EXPORT
        ) from None


def _take(package, place, values, objects):
    """Notes the picture of an object: `(rank, class, name in the package)` by its id."""
    table, row = place
    category = " ".join(values["object_annotation_category"].split())
    picture = package.picture(table, values["img_file_name"])
    identifier = values["object_id"]
    lacks = {
        "no object_id": not identifier,
        "no category": category.lower() in MISSING,
        f"no image {values['img_file_name']!r}": picture is None,
    }
    if any(lacks.values()):
        found = next(text for text, lacking in lacks.items() if lacking)
        raise InputError(
            f"{package.path}: {table}, row {row}: {identifier or 'an object'} has {found}.",
            "an image and a category of each object that counts.",
            EXPORT,
        )
    known = objects.get(identifier)
    # Two objects of one id would pass for two images of one, of which one is dropped.
    if known and known[1] != category:
        raise InputError(
            f"{package.path}: {table}, row {row}: {identifier} is {category!r}, but in a row before {known[1]!r}.",
            "one category of each object_id.",
            "name the objects of samples or projects apart, or export them one by one.",
        )
    entry = number_of(values.get("img_rank", "")) or 0, category, picture
    if known is None or entry < known:
        objects[identifier] = entry
