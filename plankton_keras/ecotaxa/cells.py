"""Values to the cells of a table for EcoTaxa: types, numbers and texts, and the order of columns."""

import math
import numbers
from collections import Counter

import numpy as np

from plankton_keras.ecotaxa.rules import ANNOTATION, FREE, HEADER, MISSING, NUMBER, PLACED, PREFIXES, TEXT, TEXT_LENGTH
from plankton_keras.errors import InputError


class Columns:
    """Turns rows of values into cells; the type of a column is that of `ecotaxa.rules.HEADER`, or that of its values.

    Args:
        shorten: Names of columns whose texts are cut to 250 characters; elsewhere longer ones are refused.
    """

    def __init__(self, shorten=()):
        self.shorten = frozenset(shorten)
        self.types = {**HEADER, **dict.fromkeys(ANNOTATION, TEXT)}
        self._free = set()

    def table(self, rows):
        """Makes a table.

        Args:
            rows: List of dictionaries, value by column; missing is None, NaN or empty.

        Returns:
            Lists of text: header, types, and one of each row. Columns without any value are left out.

        Raises:
            InputError: If a number is infinite or no number, a text is too long, or there are too many columns.

        Example:

        >>> Columns().table([{"img_file_name": "a.png", "object_id": "a", "object_depth_m": 2.0}])
        [['img_file_name', 'object_id', 'object_depth_m'], ['[t]', '[t]', '[f]'], ['a.png', 'a', '2.0']]
        """
        names = self._ordered({name for row in rows for name, value in row.items() if not is_missing(value)})
        for name in names:
            self._settle(name, rows)
        self._check_free(names)
        cells = [[self._cell(row, name) for name in names] for row in rows]
        return [names, [self.types[name] for name in names], *cells]

    def _ordered(self, names):
        """Orders columns: pictures, objects, annotation, processes, acquisitions, samples; first those of HEADER."""
        places = {name: place for place, name in enumerate(HEADER)}
        prefixes = ("img", "object", "process", "acq", "sample")

        def place(name):
            prefix = name.partition("_")[0]
            if prefix not in PREFIXES or name != name.strip().lower():
                raise InputError(
                    f"{name!r} is no column of EcoTaxa.",
                    f"a name in lower case that starts with {', '.join(f'{each}_' for each in PREFIXES)}.",
                    "rename it.",
                )
            group = ANNOTATION.index(name) + 1 if name in ANNOTATION else 0
            return prefixes.index(prefix), group, places.get(name, len(places)), name

        return sorted(names, key=place)

    def _settle(self, name, rows):
        """Settles the type of a column by the first table that has it."""
        if name not in self.types:
            values = (row.get(name) for row in rows)
            is_number = all(is_missing(value) or _is_number(value) for value in values)
            self.types[name] = NUMBER if is_number else TEXT

    def _check_free(self, names):
        """Refuses more columns than a project can have, over all tables."""
        self._free.update(set(names) - PLACED)
        kinds = ((name.partition("_")[0], self.types[name]) for name in sorted(self._free))
        counts = Counter((prefix, kind if prefix == "object" else TEXT) for prefix, kind in kinds)
        for (prefix, kind), count in counts.items():
            if count > FREE.get((prefix, kind), 0):
                raise InputError(
                    f"There are {count} free columns {prefix}_* of {kind}.",
                    f"at most {FREE.get((prefix, kind), 0)} in a project of EcoTaxa.",
                    "leave some out.",
                )

    def _cell(self, row, name):
        """Words a value."""
        value = row.get(name)
        if is_missing(value):
            return ""
        text = str(int(value)) if isinstance(value, bool | np.bool_) else str(value).strip()
        where = f"{name} of {row['object_id']}"
        if self.types[name] == NUMBER:
            if not _is_finite(text):
                raise InputError(
                    f"{where} is {text}.", "a finite number, or nothing where it is unknown.", "mend the value."
                )
            return text
        if len(text) > TEXT_LENGTH:
            if name not in self.shorten:
                raise InputError(
                    f"{where} has {len(text)} characters.",
                    f"at most {TEXT_LENGTH}: EcoTaxa takes no more.",
                    "shorten it.",
                )
            text = text[:TEXT_LENGTH].strip()
        return text


def is_missing(value):
    """Tells what stands for "unknown": None, NaN, and texts that are empty, `nan` or `na`.

    Example:

    >>> [is_missing(value) for value in (None, float("nan"), " NaN ", 0, "0")]
    [True, True, True, False, False]
    """
    if isinstance(value, str):
        return value.strip().lower() in MISSING
    return value is None or (_is_number(value) and math.isnan(value))


def _is_number(value):
    return isinstance(value, numbers.Real | np.bool_)


def _is_finite(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
