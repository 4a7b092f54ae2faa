"""The objects of a scan as the service keeps them: pixels, outline and measures, packed, in one file."""

import base64
import csv
import gzip
import json
import zlib
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from plankton_keras.files import whole_file
from plankton_keras.measuring import own_pixels, read_objects, window_of
from plankton_keras.naming import BEST
from plankton_keras.tidy import unguarded
from plankton_keras.tiles import Window

# How far an outline may be off, in pixels.
TOLERANCE = 1.0
# Columns of objects.csv that are no measures.
KNOWN = ("sample", "scan", "label", "taxon", "score", "cut_by_edge", "multiple")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An object.

    Attributes:
        label: Its number in the scan, from 1; never given twice, whatever is corrected.
        taxon: Name of its class.
        score: How sure that is, 0..1; 1 where a person says it.
        window: Its bounding box.
        packed: Its pixels, as `pack` gives them.
        area: Number of its pixels.
        outline: List of rings, each a list of `[x, y]` in pixels of the scan.
        cut: Whether the edge of the scan cuts it.
        multiple: Whether it may be several animals that touch; never where a person has cut or joined it.
        measures: Dictionary of its measures.
        likeliest: List of `{"name", "probability"}`, the likeliest first.
        corrected: Whether a person has touched or confirmed it.
    """

    label: int
    taxon: str
    score: float
    window: Window
    packed: bytes
    area: int
    outline: list
    cut: bool
    multiple: bool = False
    measures: dict = field(default_factory=dict)
    likeliest: list = field(default_factory=list)
    corrected: bool = False

    @property
    def mask(self):
        """bool `(height, width)` of the box."""
        return unpack(self.packed, (self.window.height, self.window.width))

    def renamed(self, taxon):
        """Gives the object as a person names it."""
        return replace(self, taxon=taxon, score=1.0, corrected=True)

    def to_json(self):
        """Gives it as plain values."""
        window = [self.window.top, self.window.left, self.window.height, self.window.width]
        return {**self.__dict__, "window": window, "packed": base64.b64encode(self.packed).decode()}

    @classmethod
    def from_json(cls, values):
        """Reads what `to_json` gave."""
        packed = base64.b64decode(values["packed"])
        return cls(**{**values, "window": Window(*values["window"]), "packed": packed})


def pack(mask):
    """Packs a mask.

    Args:
        mask: bool array.

    Returns:
        Bytes.

    Example:

    >>> mask = np.array([[True, False, True]])
    >>> unpack(pack(mask), mask.shape).tolist()
    [[True, False, True]]
    """
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def unpack(packed, shape):
    """Reads what `pack` gave: a bool array of that shape."""
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)


def outline_of(mask, window):
    """Draws the outer outline of an object.

    Args:
        mask: bool `(height, width)` of the box.
        window: The box.

    Returns:
        A list of rings, a ring each part, as of `Shape`; at most a pixel off.

    Example:

    >>> outline_of(np.ones((3, 5), bool), Window(10, 20, 3, 5))
    [[[20, 10], [20, 12], [24, 12], [24, 10]]]
    """
    corner = window.left, window.top
    rings, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=corner)
    return [cv2.approxPolyDP(ring, TOLERANCE, closed=True)[:, 0].tolist() for ring in rings]


def shape_of(mask, window, **known):
    """Makes the `Shape` of a mask and what else is known."""
    return Shape(window=window, packed=pack(mask), area=int(mask.sum()), outline=outline_of(mask, window), **known)


def write_shapes(path, prediction, stem, mask, table):
    """Writes the objects of a scan.

    Args:
        path: The file.
        prediction: The prediction folder.
        stem: Stem of the scan.
        mask: Its open mask, an `images.Image`.
        table: objects.csv with the measures; missing where there is no object.

    Raises:
        ArtefactError: If object table and mask do not belong together.
    """
    measured = {}
    if table.is_file():
        with open(table, newline="", encoding="utf-8") as file:
            measured = {int(row["label"]): row for row in csv.DictReader(file)}
    with whole_file(path) as partial, gzip.open(partial, "wt", compresslevel=1, encoding="utf-8") as file:
        for row in read_objects(prediction, stem):
            window, known = window_of(row), measured[row["label"]]
            own = own_pixels(mask.read(window), row["area_px"], mask.path, row["label"])
            shape = shape_of(own, window, label=row["label"], **_of_table(known))
            file.write(json.dumps(shape.to_json()) + "\n")


def _of_table(row):
    """Reads what a row of objects.csv says beside the pixels."""
    taxon = unguarded(row["taxon"])
    likeliest = [
        {"name": unguarded(row[f"taxon_{rank}"]), "probability": float(row[f"probability_{rank}"])}
        for rank in range(1, BEST + 1)
        if row.get(f"taxon_{rank}")
    ]
    ranked = {f"{name}_{rank}" for name in ("taxon", "probability") for rank in range(1, BEST + 1)}
    return {
        "taxon": taxon,
        "score": float(row["score"]),
        "cut": row["cut_by_edge"] == "True",
        "multiple": row["multiple"] == "True",
        "measures": {name: _value(text) for name, text in row.items() if name not in ranked.union(KNOWN)},
        "likeliest": likeliest or [{"name": taxon, "probability": float(row["score"])}],
    }


def _value(text):
    """Reads a cell: a number where it is one, None where it is empty."""
    if not text:
        return None
    if text in ("True", "False"):
        return text == "True"
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text


def read_shapes(path):
    """Reads the objects of a scan: a dictionary of `Shape` by label."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        shapes = (Shape.from_json(json.loads(line)) for line in file)
        return {shape.label: shape for shape in shapes}
