"""A package of EcoTaxa to read: a folder or a .zip of tables and pictures, and its tables row by row."""

import codecs
import csv
import io
import lzma
import posixpath
import struct
import zipfile
import zlib
from functools import cached_property
from pathlib import Path

from plankton_keras.ecotaxa.rules import MAX_SIDE, NUMBER, TABLE_NAME, TEXT
from plankton_keras.errors import InputError

# What readers of a damaged member raise beside BadZipFile.
DAMAGED = (
    *(zipfile.BadZipFile, OSError, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError, csv.Error),
    *(zlib.error, lzma.LZMAError, struct.error),
)

# A picture as large as EcoTaxa takes has not more, even uncompressed; a small .zip can claim to hold any number.
MOST_BYTES = MAX_SIDE**2
# In a line of a table.
MOST_LETTERS = 2**24


class Package:
    """A folder or a .zip file; names are paths from its top, with `/`.

    Args:
        path: The folder or file.

    Raises:
        InputError: If it is neither, or a damaged .zip.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._zip = None
        if self.path.is_dir():
            return
        try:
            self._zip = zipfile.ZipFile(self.path)
        except DAMAGED as error:
            found = "cannot be read as .zip: " + str(error) if self.path.exists() else "does not exist"
            raise InputError(f"{self.path} {found}.", "a folder or a .zip for EcoTaxa.", "check the path.") from None

    @cached_property
    def names(self):
        """All files, sorted: a dictionary of names, for quick look-up, without values."""
        if self._zip:
            return dict.fromkeys(sorted(name for name in self._zip.namelist() if not name.endswith("/")))
        found = (path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file())
        return dict.fromkeys(sorted(found))

    @cached_property
    def tables(self):
        """Names of the tables that EcoTaxa reads, sorted."""
        return [name for name in self.names if TABLE_NAME.fullmatch(posixpath.basename(name))]

    def at(self, name):
        """Gives a file as a `pathlib.Path` or `zipfile.Path`: both have `name`, `open` and `read_bytes`.

        Raises:
            InputError: If it is packed and so large that reading it at once, as pictures are, could fill the memory.
        """
        # Tables are read row by row.
        if self._zip and name not in self.tables and self._zip.getinfo(name).file_size > MOST_BYTES:
            raise InputError(
                f"{self.path}: {name} unpacks to {self._zip.getinfo(name).file_size} bytes.",
                f"at most {MOST_BYTES}.",
                "remove it from the package.",
            )
        return zipfile.Path(self._zip, name) if self._zip else self.path / name

    def picture(self, table, name):
        """Resolves the name of a picture, which is relative to its table; None where the package has no such file."""
        found = posixpath.normpath(posixpath.join(posixpath.dirname(table), name))
        return found if found in self.names else None

    def is_marked(self, table):
        """Tells whether a table starts with the byte order mark of UTF-8."""
        with self.at(table).open("rb") as file:
            return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8

    def rows(self, table):
        """Reads a table as EcoTaxa does: tabs, quotes, Latin-1 unless there is a byte order mark.

        Args:
            table: Its name.

        Yields:
            Lists of text; the first is the header.

        Raises:
            One of `DAMAGED`: If the file is damaged or in no such encoding.
        """
        encoding = "utf-8-sig" if self.is_marked(table) else "latin-1"
        with self.at(table).open("rb") as file, io.TextIOWrapper(file, encoding, newline="") as text:
            yield from csv.reader(_lines(text), delimiter="\t", quotechar='"')


def _lines(text):
    """Reads lines; one that would fill the memory is an error of csv, as one cell of that length is."""
    while line := text.readline(MOST_LETTERS):
        if len(line) == MOST_LETTERS:
            raise csv.Error(f"a line has {MOST_LETTERS} letters or more")
        yield line


def column_name(cell):
    """Gives the name of a column as EcoTaxa takes it.

    Example:

    >>> column_name(" Object_ID ")
    'object_id'
    """
    return cell.strip().lower()


def is_types_row(cells):
    """Tells the row of types from one of an object; exports of EcoTaxa may come without it.

    Example:

    >>> is_types_row(["[t]", "[f]"]), is_types_row(["a.png", "3"])
    (True, False)
    """
    return any(cell.strip() in (NUMBER, TEXT) for cell in cells)


def is_ecotaxa_package(path):
    """Tells a package of EcoTaxa, such as its exports, from a folder of scans or of vignettes.

    Args:
        path: A folder or file.
    """
    path = Path(path)
    if not path.is_dir() and not (path.is_file() and zipfile.is_zipfile(path)):
        return False
    return bool(Package(path).tables)
