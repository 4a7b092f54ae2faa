"""samples.csv: what is known of each scan, such as the day or the cruise, by which splits are made."""

import csv
from pathlib import Path

from plankton_keras.errors import InputError, and_others, did_you_mean

SAMPLES = "samples.csv"
# The column of the scans' stems.
SCAN = "scan"


def read_groups(folder, column, stems):
    """Reads which group each scan belongs to.

    Args:
        folder: The folder of scans; `samples.csv`, with a column `scan` of stems, stands in it or in its parent.
        column: Name of the column whose values are the groups, such as `day`.
        stems: Stems of the scans.

    Returns:
        A dictionary from stem to value, of these stems.

    Raises:
        InputError: If there is no such table, a column is missing, or a scan has no value or two; all problems at once.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "samples.csv").write_text("scan,day\\na,2009-01-14\\nb,2009-01-15\\n")
    >>> read_groups(folder, "day", ["a", "b"])
    {'a': '2009-01-14', 'b': '2009-01-15'}
    """
    path = _found(Path(folder), column)
    columns, rows = read_table(path)
    problems = [
        f"has no column {name!r}; it has {', '.join(columns) or 'nothing'}.{did_you_mean(name, columns)}"
        for name in dict.fromkeys((SCAN, column))
        if name not in columns
    ]
    values = {}
    for _, row in rows if SCAN in columns else []:
        values.setdefault((row[SCAN] or "").strip(), []).append((row.get(column) or "").strip())
    if SCAN in columns:
        lost = [stem for stem in stems if stem not in values]
        problems += [f"has no row for {listed(lost)}."] if lost else []
    if {SCAN, column} <= set(columns):
        empty = [stem for stem in stems if "" in values.get(stem, ())]
        torn = [stem for stem in stems if len(set(values.get(stem, ()))) > 1]
        problems += [f"has no {column} for {listed(empty)}."] if empty else []
        problems += [f"has several values of {column} for {listed(torn)}."] if torn else []
    if problems:
        raise InputError(
            f"{path} " + " It ".join(problems),
            f"the columns {SCAN} (the stem) and {column}, with one value for each scan.",
            f"complete {SAMPLES}, or choose another --split-by.",
        )
    return {stem: values[stem][0] for stem in stems}


def _found(folder, column):
    """Finds the table of a folder or of its parent."""
    found = [path for path in (folder / SAMPLES, folder.resolve().parent / SAMPLES) if path.is_file()]
    if not found:
        raise InputError(
            f"{folder} has no {SAMPLES}, nor has its parent.",
            f"a table with the columns {SCAN} and {column} for --split-by.",
            f"write {SAMPLES}, or leave --split-by out.",
        )
    return found[0]


def read_table(path):
    """Reads a table of any columns.

    Args:
        path: A CSV file in UTF-8 with a header; lines that start with # say something to the reader only.

    Returns:
        The names of the columns, and a list of `(line of the file, dictionary by column)`, a row each; all text, None
        where a row ends early, and under None what stands beyond the columns. Rows without a value are left out.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        fix = "check the path; `plankton measure --template` prints a table to fill in."
        raise InputError(f"{path} does not exist.", "a CSV file in UTF-8.", fix) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "a CSV file in UTF-8.", "save it anew as UTF-8.") from None
    # Spreadsheets put a line that has a comma in quotes.
    numbered = [each for each in enumerate(text.split("\n"), 1) if not each[1].lstrip('"').startswith("#")]
    reader = csv.DictReader(line for _, line in numbered)
    try:
        columns = reader.fieldnames or []
        return columns, [(numbered[reader.line_num - 1][0], row) for row in reader if any(row.values())]
    except csv.Error as error:
        line = numbered[reader.line_num - 1][0]
        raise InputError(f"{path}, line {line}: {error}.", "a CSV file.", "correct the line.") from None


def listed(stems):
    """Names scans, the first ten of them.

    Example:

    >>> listed(["a", "b"])
    'the scans a, b'
    """
    return f"the scan{'s' if stems[1:] else ''} {', '.join(stems[:10])}{and_others(len(stems) - 10)}"
