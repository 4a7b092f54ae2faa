"""The first two rows of a table for EcoTaxa, names and types, checked."""

from collections import Counter
from dataclasses import dataclass

from plankton_keras.ecotaxa.rules import NUMBER, PARENTS, PLACED, PLACED_NUMBERS, PREFIXES, TEXT
from plankton_keras.ecotaxa.tables import column_name, is_types_row


@dataclass(frozen=True)
class Header:
    """What a table holds.

    Attributes:
        table: Its name.
        columns: Names of its columns.
        numbers: Those of numbers.
        free: Types of those that EcoTaxa has no place for, by name; all of parents are text to it.
        is_marked: Whether the file starts with a byte order mark.
    """

    table: str
    columns: tuple
    numbers: frozenset
    free: dict
    is_marked: bool

    def of(self, *prefixes):
        """Lists the columns of prefixes."""
        return [name for name in self.columns if name.partition("_")[0] in prefixes]


def read_header(table, rows, is_marked, add):
    """Reads and checks the first two rows.

    Args:
        table: Name of the table.
        rows: Iterator over its rows.
        is_marked: Whether the file starts with a byte order mark.
        add: Called with `(rule, what, table, row, column)` for each problem.

    Returns:
        A `Header`.

    Example:

    >>> problems = []
    >>> rows = iter([["img_file_name", "object_id", "area"], ["[t]", "[t]", "[f]"]])
    >>> header = read_header("ecotaxa_a.tsv", rows, False, lambda *problem: problems.append(problem))
    >>> problems
    [('header', "'area' has no known prefix", 'ecotaxa_a.tsv', 1, 'area')]
    """
    columns = tuple(column_name(cell) for cell in next(rows, []))
    for name, count in Counter(columns).items():
        if count > 1:
            add("header", f"{name!r} stands there {count} times", table, 1, name)
        prefix, _, rest = name.partition("_")
        if prefix not in PREFIXES or not rest:
            add("header", f"{name!r} has no known prefix", table, 1, name)
        elif prefix == "img" and name not in PLACED:
            add("header", f"EcoTaxa has no place for {name!r}", table, 1, name)
        if not is_marked and (text := hidden_text(name)):
            add("encoding", f"{text!r} is UTF-8 without a byte order mark", table, 1, name)
    present = {name.partition("_")[0] for name in columns}
    for name in ("img_file_name", "object_id", *(f"{prefix}_id" for prefix in PARENTS if prefix in present)):
        if name not in columns:
            add("mandatory", "is missing", table, 1, name)
    types = _read_types(table, columns, next(rows, []), add)
    known = [name for name in columns if name.partition("_")[0] in ("object", *PARENTS)]
    free = {name: types[name] if name.startswith("object_") else TEXT for name in known if name not in PLACED}
    numbers = {name for name in known if name not in PLACED and types[name] == NUMBER}
    return Header(table, columns, frozenset(numbers.union(PLACED_NUMBERS)), free, is_marked)


def _read_types(table, columns, cells, add):
    """Checks the row of types; gives the type of each column, text where there is none."""
    if not is_types_row(cells):
        add("types", "is no row of types", table, 2, None)
        return dict.fromkeys(columns, TEXT)
    if len(cells) != len(columns):
        add("types", f"has {len(cells)} cells, the header {len(columns)}", table, 2, None)
    types = dict.fromkeys(columns, TEXT)
    for name, cell in zip(columns, cells, strict=False):
        if cell.strip() in (NUMBER, TEXT):
            types[name] = cell.strip()
        else:
            add("types", f"{cell!r} is no type", table, 2, name)
    return types


def hidden_text(text):
    """Finds UTF-8 that was read as Latin-1, which is how EcoTaxa reads it without a byte order mark.

    Args:
        text: Read as Latin-1.

    Returns:
        The text that was meant, or None.

    Example:

    >>> hidden_text("Ã‰tÃ©".replace("‰", chr(0x89))), hidden_text("été"), hidden_text("ete")
    ('Été', None, None)
    """
    try:
        return None if text.isascii() else text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
