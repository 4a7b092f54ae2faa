"""Tables in long form, a value a row, as CSV and Parquet."""

import csv

from plankton_keras.files import whole_file


def write_csv(path, rows):
    """Writes a table as CSV; what is not known stays empty.

    Args:
        path: The file.
        rows: List of dictionaries with the same keys, one at least.
    """
    with whole_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


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
