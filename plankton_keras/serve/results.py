"""What a finished job shows: objects with outlines, measures, vignettes, counts, and its files."""

import gzip
import json
import math
import threading
from collections import Counter

import cv2
import numpy as np

from plankton_keras.candidates import LocalGround
from plankton_keras.ecology.spectra import OCTAVES
from plankton_keras.files import read_json, whole_file
from plankton_keras.images import pixel_mm
from plankton_keras.measuring import Piece, measure_piece
from plankton_keras.sample_flags import flags
from plankton_keras.sample_report import MODEL
from plankton_keras.scans import open_scan
from plankton_keras.serve.corrections import Log, check_there, operation
from plankton_keras.serve.keeping import Kept
from plankton_keras.serve.refusing import Refused
from plankton_keras.serve.shapes import read_shapes, shape_of
from plankton_keras.serve.working import CLASSES, GROUND, SHAPES, gray_range_of
from plankton_keras.taxa import color_of
from plankton_keras.tiles import Window
from plankton_keras.vignette_pictures import encode_picture, vignette

CORRECTIONS, OBJECTS = "corrections.jsonl", "objects-{}.json.gz"
# Jobs whose objects are held, and jobs whose scan is held open.
HELD, HELD_SCANS = 4, 2
# Pixels of the largest vignette that is drawn; larger objects are reduced.
MAX_VIGNETTE = 2**22
VOLUME = f"biovolume_{MODEL}_mm3"
AGAIN = "delete the job and send the scan again."


class Results:
    """The results of jobs that are done; any thread may use them.

    Args:
        jobs: The `jobs.Jobs`.
    """

    def __init__(self, jobs):
        self._jobs = jobs
        self._results = Kept(self._read, HELD)
        self._grounds = Kept(self._open, HELD_SCANS)
        jobs.before_delete.append(self._forget)

    def get(self, id):
        """Gives the `Result` of a job.

        Raises:
            Refused: If there is no such job, or it is not done.
        """
        row = self._jobs.finished(id)
        result = self._results.get(id)
        if result.log.revision != row.revision:
            # A kill came between the correction and its note.
            self._jobs.corrected(id, result.log.revision, len(result.log.shapes))
        return result

    def _read(self, id):
        row = self._jobs.finished(id)
        return Result(self._jobs.task(row), row.dpi, lambda: self._grounds.get(id))

    def _open(self, id):
        task = self._jobs.task(self._jobs.finished(id))
        scan = open_scan(task.scan, gray_range_of(task.content()))
        return LocalGround(scan, np.load(task.folder / GROUND))

    def _forget(self, id):
        self._results.forget(id)
        self._grounds.forget(id)

    def correct(self, id, request):
        """Corrects objects.

        Args:
            id: Of the job.
            request: As for `corrections.operation`, with the `revision` that it is of.

        Returns:
            A dictionary of `revision`, `objects` (changed or new) and `removed`.

        Raises:
            Refused: If the revision is not the current one, or it is no such request.
        """
        revision, result = request.get("revision"), self.get(id)
        if type(revision) is not int:
            raise Refused(400, "There is no revision.", "the revision of the objects.", "read the objects.")
        return self._corrected(id, result, revision, operation(request, result.measured))

    def undo(self, id, revision=None):
        """Takes the last correction back; as `correct`."""
        return self._corrected(id, self.get(id), revision, Log.undo)

    def redo(self, id, revision=None):
        """Does again what was undone last; as `correct`."""
        return self._corrected(id, self.get(id), revision, Log.redo)

    def _corrected(self, id, result, revision, line):
        revision, changed, removed = result.log.apply(revision, line)
        self._jobs.corrected(id, revision, len(result.log.shapes))
        return {"revision": revision, "objects": [entry(shape) for shape in changed], "removed": removed}


class Result:
    """The objects of one scan, corrected.

    Args:
        task: The `working.Task`.
        dpi: Resolution of the scan, or None.
        ground: Function to the `candidates.LocalGround` of the scan.

    Attributes:
        task: As given.
        dpi: As given.
        content: `Task.content`.
        log: The `corrections.Log`.
        exporting: `threading.Lock` of who exports.
    """

    def __init__(self, task, dpi, ground):
        self.task, self.dpi, self.ground = task, dpi, ground
        self.content = task.content()
        self._living = read_json(task.folder / CLASSES, AGAIN)
        self.log = Log(task.folder / CORRECTIONS, read_shapes(task.folder / SHAPES))
        self._lock, self.exporting = threading.Lock(), threading.Lock()

    def living(self, shapes):
        """Gives whether each class is living, by name: those of the model first, class 0 leading, then new ones."""
        new = sorted({shape.taxon for shape in shapes.values()} - self._living.keys())
        return {**self._living, **dict.fromkeys(new, True)}

    def measured(self, label, taxon, window, mask):
        """Measures what a person has cut or joined; gives the `shapes.Shape`."""
        piece = Piece(label, taxon, 1.0, window, mask)
        found = measure_piece(self.ground(), piece, pixel_mm=pixel_mm(self.dpi))
        known = {"label": label, "taxon": taxon, "score": 1.0, "cut": found.cut, "measures": found.measures}
        return shape_of(mask, window, **known, corrected=True)

    def objects(self):
        """Gives all objects as gzipped JSON; computed once a revision."""
        revision, shapes = self.log.current()
        path = self.task.folder / OBJECTS.format(revision)
        with self._lock:
            if not path.is_file():
                # Writing would make the folder of a deleted job anew.
                check_there(self.task.folder)
                for old in self.task.folder.glob(OBJECTS.format("*")):
                    old.unlink()
                content = {"revision": revision, "classes": self._classes(shapes)}
                content["objects"] = [entry(shape) for shape in shapes.values()]
                with whole_file(path) as partial:
                    partial.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 5))
            return path.read_bytes()

    def _classes(self, shapes):
        counts = Counter(shape.taxon for shape in shapes.values())
        return [
            {"name": name, "living": living, "colour": colour(index), "count": counts[name]}
            for index, (name, living) in enumerate(self.living(shapes).items())
        ]

    def object(self, label):
        """Gives all that is known of an object.

        Raises:
            Refused: If there is none of that number.
        """
        shape = self._shape(label)
        return {**entry(shape), "measures": shape.measures, "likeliest": shape.likeliest}

    def _shape(self, label):
        shape = self.log.shapes.get(label)
        if shape is None:
            raise Refused(404, f"There is no object {label}.", "a label of an object.", "read the objects again.")
        return shape

    def vignette(self, label):
        """Draws an object alone with a bar of 1 mm; gives the bytes of a PNG.

        Raises:
            Refused: If there is none of that number.
        """
        shape, side = self._shape(label), pixel_mm(self.dpi)
        factor = max(1, math.ceil(math.sqrt(shape.window.height * shape.window.width / MAX_VIGNETTE)))
        if factor == 1:
            gray, mask = self.ground().whitened(shape.window), shape.mask
        else:
            gray, mask = _reduced(self.ground(), shape, factor)
        return encode_picture(vignette(gray, mask, side and side * factor))

    def summary(self):
        """Gives counts, size spectrum and what is doubtful, after corrections."""
        revision, shapes = self.log.current()
        living, groups = self.living(shapes), {}
        for shape in shapes.values():
            groups.setdefault(shape.taxon, []).append(shape.measures)
        counts = [
            {
                "taxon": taxon,
                "living": living[taxon],
                "count": len(group),
                "area_mm2": _total(group, "area_mm2"),
                "biovolume_mm3": _total(group, VOLUME),
            }
            for taxon, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        ]
        rows = [
            {"scan": self.task.stem, "taxon": shape.taxon, "cut_by_edge": shape.cut, "multiple": shape.multiple}
            | {name: shape.measures.get(name) for name in ("area_mm2", "esd", "esd_mm")}
            for shape in shapes.values()
        ]
        said = flags(None, self.content["scans"], rows, living)
        volumes = [shape.measures.get(VOLUME) for shape in shapes.values() if living[shape.taxon]]
        return {
            "revision": revision,
            "counts": counts,
            "spectrum": spectrum(volumes),
            "flags": [flag["text"] for flag in said],
        }


def entry(shape):
    """Gives a `shapes.Shape` as the list of objects shows it."""
    window = shape.window
    return {
        "label": shape.label,
        "taxon": shape.taxon,
        "score": shape.score,
        "box": [window.left, window.top, window.width, window.height],
        "area_px": shape.area,
        "esd_mm": shape.measures.get("esd_mm"),
        "multiple": shape.multiple,
        "corrected": shape.corrected,
        "outline": shape.outline,
    }


def colour(index):
    """Words the colour of a class.

    Example:

    >>> colour(1)
    '#e69f00'
    """
    return "#" + bytes(color_of(index)).hex()


def spectrum(volumes):
    """Counts volumes by octaves.

    Args:
        volumes: List of volumes in mm3, None where one is not known.

    Returns:
        A dictionary of `unit` and `bins` from the first to the last octave with an object, dictionaries of `low`,
        `high`, `count` and `biovolume`; None where there is no volume, or one is not known.

    Example:

    >>> [(each["count"], each["biovolume"]) for each in spectrum([0.01, 0.012, 0.05])["bins"]]
    [(2, 0.022), (0, 0.0), (1, 0.05)]
    """
    if not volumes or None in volumes:
        return None
    numbers = OCTAVES.number(volumes)
    span = np.arange(numbers.min(), numbers.max() + 1)
    columns = {
        **dict(zip(("low", "high"), OCTAVES.between(span), strict=True)),
        "count": np.bincount(numbers - span[0]),
        "biovolume": np.bincount(numbers - span[0], volumes),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return {"unit": "mm3", "bins": [dict(zip(columns, row, strict=True)) for row in rows]}


def _total(group, name):
    values = [measures.get(name) for measures in group]
    return None if None in values else sum(values)


def _reduced(ground, shape, factor):
    """Reads a huge object by bands of rows, reduced by a whole number."""
    window, mask, grays, masks = shape.window, shape.mask, [], []
    rows = max(1, 512 // factor) * factor
    width = -(-window.width // factor)
    for top in range(0, window.height, rows):
        height = min(rows, window.height - top)
        size = width, -(-height // factor)
        band = ground.whitened(Window(window.top + top, window.left, height, window.width))
        grays.append(cv2.resize(band, size, interpolation=cv2.INTER_AREA))
        masks.append(cv2.resize(mask[top : top + height].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST))
    return np.concatenate(grays), np.concatenate(masks)
