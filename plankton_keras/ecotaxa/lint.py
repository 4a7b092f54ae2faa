"""Checks a package for EcoTaxa before it is uploaded: every rule of `ecotaxa.rules.RULES`, all problems at once.

Rows are counted as a spreadsheet does: 1 is the header, 2 the types. Pictures are looked at one by one.
"""

import posixpath
from collections import Counter
from dataclasses import dataclass, field

from plankton_keras.ecotaxa.header import hidden_text, read_header
from plankton_keras.ecotaxa.parents import Parents
from plankton_keras.ecotaxa.rules import FREE, MAX_RANKS, MAX_TABLES, MISSING, NO_CATEGORY, RULES, STATUSES
from plankton_keras.ecotaxa.tables import DAMAGED, Package
from plankton_keras.ecotaxa.values import number_of, wrong_depth, wrong_picture, wrong_value
from plankton_keras.errors import InputError, printable
from plankton_keras.image_claims import read_picture

# Rows in which one rule is broken in one column that are named; the others are counted.
NAMED = 20


@dataclass(frozen=True)
class Problem:
    """What breaks a rule.

    Attributes:
        file: Name of the file in the package, or of the package.
        row: Row of the table, from 1, or None.
        column: Name of the column, or None.
        what: What was found.
        rule: Key of `ecotaxa.rules.RULES`.
    """

    file: str
    row: int | None
    column: str | None
    what: str
    rule: str

    @property
    def severity(self):
        """`error` or `warning`."""
        return RULES[self.rule][0]

    def __str__(self):
        row = f", row {self.row}" if self.row else ""
        column = f", column {self.column}" if self.column else ""
        said = f"{self.severity}: {self.file}{row}{column}: {self.what} (expected: {RULES[self.rule][1]})"
        return printable(said)


def lint(path):
    """Finds all that EcoTaxa would refuse or misread in a package, and figures that cannot be.

    Args:
        path: A .zip file, or a folder.

    Returns:
        A list of `Problem`, by file and row; errors are those of `severity` "error". Of one rule that is broken in one
        column of a table the first 20 rows are named and the others counted.
    """
    try:
        package = Package(path)
    except InputError as error:
        return [Problem(str(path), None, None, error.what.removeprefix(f"{path} ").rstrip("."), "package")]
    check = _Check(package)
    check.names()
    for table in package.tables:
        check.table(table)
    check.whole()
    return check.found.sorted()


class _Found:
    """Collects problems, so that their number stays bounded."""

    def __init__(self):
        self._counts, self._problems = Counter(), []

    def add(self, rule, what, file, row=None, column=None):
        """Notes a problem."""
        self._counts[file, column, rule] += 1
        if self._counts[file, column, rule] <= NAMED:
            self._problems.append(Problem(file, row, column, what, rule))

    def sorted(self):
        """Gives the problems by file and row, and how many more there are of those left out."""
        more = [
            Problem(file, None, column, f"the same in {count - NAMED} more rows", rule)
            for (file, column, rule), count in self._counts.items()
            if count > NAMED
        ]
        known = sorted(self._problems, key=lambda each: (each.file, each.row or 0))
        return known + sorted(more, key=lambda each: (each.file, each.column or ""))


@dataclass
class _Object:
    """What is known of an object: acquisition, first place, and ranks by picture, None where there is no good one."""

    acquisition: str
    table: str
    row: int
    ranks: dict = field(default_factory=dict)


class _Check:
    """What is known of a package while its tables are read."""

    def __init__(self, package):
        self.package, self.found = package, _Found()
        self.parents = Parents(self.found.add)
        self.objects, self.pictures = {}, set()
        # Whether all rows could be read and their pictures found: else more pictures would seem to stand in no table.
        self.is_whole = True
        # Free columns with type and first table, and their number by prefix and type.
        self.free, self.counts = {}, Counter()

    def names(self):
        """Checks the names of the files."""
        tables, whole = set(self.package.tables), self.package.path.name
        for name in self.package.names:
            base = posixpath.basename(name).lower()
            if name in tables or not base.endswith((".tsv", ".txt")):
                continue
            if base.startswith("ecotaxa"):
                self.found.add("table name", "EcoTaxa does not see this table", name)
                self.is_whole = False
            elif base.endswith(".tsv"):
                self.found.add("passed over", "EcoTaxa does not read this table", name)
        if not 0 < len(tables) <= MAX_TABLES:
            self.found.add("tables", f"has {len(tables)} tables", whole)

    def table(self, name):
        """Checks a table."""
        row = 0
        try:
            rows = self.package.rows(name)
            header = read_header(name, rows, self.package.is_marked(name), self.found.add)
            row = 2
            self._free(header)
            for row, cells in enumerate(rows, start=3):
                # A line without anything is passed over by EcoTaxa too.
                if cells:
                    self._row(header, row, cells)
        except DAMAGED as error:
            rule = "encoding" if isinstance(error, UnicodeDecodeError) else "package"
            self.found.add(rule, f"cannot be read after row {row}: {error}", name)
            self.is_whole = False

    def whole(self):
        """Checks what only shows at the end."""
        for identifier, each in self.objects.items():
            ranks = sorted(rank for rank in each.ranks.values() if rank is not None)
            wrong = next((place for place, rank in enumerate(ranks) if rank != place), None)
            if wrong is not None:
                said = (
                    f"{identifier} has no image of rank {wrong}"
                    if ranks[wrong] > wrong
                    else f"{identifier} has a rank twice"
                )
                self.found.add("rank", said, each.table, each.row, "img_rank")
        pictures = (name for name in self.package.names if name.lower().endswith((".png", ".jpg", ".jpeg", ".gif")))
        lost = [name for name in pictures if name not in self.pictures]
        if lost and self.is_whole:
            more = f", nor do {len(lost) - 1} others" if lost[1:] else ""
            self.found.add("passed over", f"stands in no table{more}", lost[0])

    def _free(self, header):
        """Counts free columns over all tables."""
        for column, kind in header.free.items():
            prefix = column.partition("_")[0]
            known, table = self.free.setdefault(column, (kind, header.table))
            if known != kind:
                self.found.add("types", f"is {kind} here and {known} in {table}", header.table, 2, column)
            if table == header.table:
                self.counts[prefix, kind] += 1
                if self.counts[prefix, kind] > FREE[prefix, kind]:
                    said = f"is free column {self.counts[prefix, kind]} of {prefix}_* and {kind}"
                    self.found.add("free columns", said, header.table, 1, column)

    def _row(self, header, row, cells):
        """Checks a row of a table."""
        if len(cells) != len(header.columns):
            said = f"has {len(cells)} cells, the header {len(header.columns)}"
            self.found.add("cells", said, header.table, row)
            self.is_whole = False
            return

        def add(rule, what, column):
            self.found.add(rule, what, header.table, row, column)

        values = {name: cell.strip() for name, cell in zip(header.columns, cells, strict=True)}
        if not header.is_marked:
            for column, value in values.items():
                if text := hidden_text(value):
                    add("encoding", f"{text!r} is UTF-8 without a byte order mark", column)
        for column in header.of("img", "object"):
            if wrong := wrong_value(column, values[column], column in header.numbers):
                add(*wrong, column)
        if wrong := wrong_depth(*(number_of(values.get(f"object_depth_{end}", "")) for end in ("min", "max"))):
            add("depth", wrong[1], wrong[0])
        _check_status(values, add)
        self.parents.look(header, row, values)
        if "object_id" in values and "img_file_name" in values:
            self._object(header.table, row, values, add)
        else:
            self.is_whole = False

    def _object(self, table, row, values, add):
        """Checks an object's picture, and that the object is one."""
        identifier, acquisition = values["object_id"], values.get("acq_id", "")
        picture = self._picture(table, values["img_file_name"], add)
        if not identifier:
            add("id", "is empty", "object_id")
            return
        known = self.objects.setdefault(identifier, _Object(acquisition, table, row))
        place = f"{known.table}, row {known.row}"
        if known.acquisition != acquisition:
            add("fractions", f"{identifier} is in the acquisition {known.acquisition} too: {place}", "object_id")
        elif picture in known.ranks:
            add("twice", f"{identifier} has this image already, from {place} on", "img_file_name")
        else:
            text = values.get("img_rank", "")
            rank = number_of(text)
            good = rank is not None and rank.is_integer() and 0 <= rank < MAX_RANKS
            known.ranks[picture] = rank if good else None
            if not good and text.lower() not in MISSING and rank is not None:
                add("rank", f"{text} is no rank", "img_rank")

    def _picture(self, table, name, add):
        """Checks a picture; gives its name in the package, or as it is where it is missing."""
        picture = self.package.picture(table, name)
        if picture is None:
            add("picture", f"{name!r} is not in the package", "img_file_name")
            self.is_whole = False
        elif picture not in self.pictures:
            self.pictures.add(picture)
            try:
                wrong = wrong_picture(read_picture(self.package.at(picture)))
            except DAMAGED as error:
                wrong = f"cannot be read: {error}"
            if wrong:
                add("picture", f"{name} {wrong}", "img_file_name")
        return picture or name


def _check_status(values, add):
    """Checks that a status is known, and comes with a category; and a category with a status."""
    status = values.get("object_annotation_status", "")
    category = values.get("object_annotation_category", "") or values.get("object_annotation_category_id", "")
    if status and status.lower() not in (*STATUSES, NO_CATEGORY):
        add("status", f"{status!r} is no status", "object_annotation_status")
    elif status and status != NO_CATEGORY and not category:
        add("status", f"{status} stands without a category", "object_annotation_status")
    elif category and not status:
        add("status", f"{category} stands without a status", "object_annotation_category")
