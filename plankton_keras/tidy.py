"""Tables in long form, a value a row, as CSV and Parquet; a spreadsheet takes no text of theirs for a formula."""

import csv
import re

from plankton_keras.files import whole_file

# What spreadsheets take for the start of a formula, the wide forms of East Asian ones too.
FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def guarded(value):
    """Keeps a spreadsheet from computing a text: one that starts as a formula does gets an apostrophe before it.

    Args:
        value: Text, which may come from names of files, classes and people, or anything else, which stays as it is.

    Returns:
        The value; numbers, in text too, as they are.

    Example:

    >>> guarded("=1+2"), guarded("-5"), guarded(-5), guarded("Calanus")
    ("'=1+2", '-5', -5, 'Calanus')
    """
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def unguarded(text):
    """Gives back what `guarded` was given.

    Example:

    >>> unguarded("'=1+2"), unguarded("'quoted'")
    ('=1+2', "'quoted'")
    """
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text


def _is_formula(text):
    if not FORMULA.match(text):
        return False
    try:
        float(text.lstrip("'"))
    except ValueError:
        return True
    return False


def write_csv(path, rows):
    """Writes a table as CSV, `guarded`; what is not known stays empty.

    Args:
        path: The file.
        rows: List of dictionaries with the same keys, one at least.
    """
    with whole_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: guarded(value) for name, value in row.items()} for row in rows)


def write_parquet(path, rows):
    """Writes a table as Parquet, of the same columns and with their types; what is not known is null.

    Args:
        path: The file.
        rows: List of dictionaries with the same keys, one at least; text, whole numbers, numbers, booleans or None.
    """
    import pyarrow
    from pyarrow import parquet

    types = {str: pyarrow.string(), bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    fields = []
    for name in rows[0]:
        # A column without any value is one of numbers that could not be had.
        known = next((row[name] for row in rows if row[name] is not None), 0.0)
        fields.append((name, types[type(known)]))
    with whole_file(path) as partial:
        parquet.write_table(pyarrow.Table.from_pylist(rows, pyarrow.schema(fields)), partial)
