"""What a person corrected, as a log that only grows: the objects are those of the prediction with the log applied.

A line is an operation with all that came of it, so that nothing is computed again; undo and redo are lines too. The
revision is the number of lines.
"""

import json
import os
import re
import threading

from plankton_keras.ecotaxa.cells import is_missing
from plankton_keras.serve.cutting import MAX_POINTS, merge, split
from plankton_keras.serve.limits import disk_full, is_disk_full
from plankton_keras.serve.refusing import Refused
from plankton_keras.serve.shapes import Shape

OPERATIONS = ("rename", "delete", "merge", "split")
# Names of EcoTaxa's taxa are of these, `Child<Parent` among them.
TAXON = re.compile(r"[A-Za-z0-9_\-<>() ]{1,100}")


class Log:
    """The corrections of a scan; any thread may use it.

    Args:
        path: The file; missing where nothing was corrected.
        shapes: Dictionary of `shapes.Shape` by label, as predicted.

    Attributes:
        revision: Number of lines.
        shapes: The same, corrected.
    """

    def __init__(self, path, shapes):
        self._path, self._base, self._lock = path, shapes, threading.Lock()
        self.revision, self.shapes, self._done, self._place = 0, shapes, [], 0
        self._next = max(shapes, default=0) + 1
        for line in _read(path):
            self._take(line)

    def apply(self, revision, line):
        """Applies an operation.

        Args:
            revision: The revision that the client has seen, or None for any.
            line: Function of this log to the line, a dictionary of plain values: `op`; `labels` and `taxon` of a
                rename; else, but for undo and redo, `removed`, the labels, and `added`, objects as `Shape.to_json`.

        Returns:
            `(revision, changed, removed)`: the new revision, a list of `Shape` that are new or other than before, and
            the labels that are gone.

        Raises:
            Refused: If the revision is not the current one, or the operation cannot be done.
        """
        with self._lock:
            if revision is not None and revision != self.revision:
                raise Refused(
                    409,
                    f"The objects are of revision {self.revision}, not {revision}.",
                    "the current revision.",
                    "read the objects again.",
                )
            written, before = {"revision": self.revision + 1, **line(self)}, self.shapes
            _append(self._path, written)
            self._take(written)
            changed = [shape for label, shape in self.shapes.items() if before.get(label) is not shape]
            return self.revision, changed, sorted(before.keys() - self.shapes)

    def current(self):
        """Gives `(revision, shapes)` as they belong together."""
        with self._lock:
            return self.revision, self.shapes

    def undo(self):
        """Gives the line that takes the last operation back, for `apply`."""
        if not self._place:
            raise Refused(400, "There is nothing to undo.", "a correction.", "correct something first.")
        return {"op": "undo"}

    def redo(self):
        """Gives the line that does again what was undone last, for `apply`."""
        if self._place == len(self._done):
            raise Refused(400, "There is nothing to redo.", "an undo before.", "undo something first.")
        return {"op": "redo"}

    def fresh(self, count):
        """Gives labels that no object has or ever had."""
        return range(self._next, self._next + count)

    def _take(self, line):
        """Takes a line into account."""
        self.revision += 1
        if line["op"] == "undo":
            self._place -= 1
            self.shapes = self._base
            for change in self._done[: self._place]:
                self.shapes = _changed(self.shapes, *change)
            return
        if line["op"] != "redo":
            # What an operation makes of the objects is made once, so that what has not changed stays the same object.
            self._done = [*self._done[: self._place], self._change(line)]
        self.shapes = _changed(self.shapes, *self._done[self._place])
        self._place += 1

    def _change(self, line):
        """Gives what an operation changes: labels that go, and objects that come."""
        if line["op"] == "rename":
            return [], [self.shapes[label].renamed(line["taxon"]) for label in line["labels"]]
        added = [Shape.from_json(values) for values in line["added"]]
        self._next = max([self._next, *(shape.label + 1 for shape in added)])
        return line["removed"], added


def _changed(shapes, removed, added):
    gone = set(removed)
    kept = {label: shape for label, shape in shapes.items() if label not in gone}
    return kept | {shape.label: shape for shape in added}


def _read(path):
    """Reads the lines; one that a kill has cut off never was."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with open(path, "r+b") as file:
            file.truncate(whole)
    return [json.loads(line) for line in content[:whole].splitlines()]


def check_there(folder):
    """Checks that the folder of a job is there, before something is written into it.

    Args:
        folder: The folder.

    Raises:
        Refused: If the job was deleted.
    """
    if not folder.is_dir():
        raise Refused(404, "The job was deleted.", "a job of GET /v1/jobs.", "look there.")


def _append(path, line):
    check_there(path.parent)
    text = json.dumps(line).encode() + b"\n"
    with open(path, "ab", buffering=0) as file:
        begun = file.tell()
        try:
            while text:
                text = text[file.write(text) :]
            os.fsync(file.fileno())
        except OSError as error:
            # What is refused must not stand there, and the next line not begin in the middle of this one.
            file.truncate(begun)
            raise disk_full() if is_disk_full(error) else error from None


def operation(request, remeasured):
    """Reads a request for a correction.

    Args:
        request: Dictionary of `op` and `labels`, and `taxon` of a rename; or `label` and `line` of a split.
        remeasured: Function of `(label, taxon, window, mask)` to a measured `Shape`.

    Returns:
        A function of a `Log` to the line, as `Log.apply` takes it.

    Raises:
        Refused: If it is no such request.
    """
    op = request.get("op")
    if op not in OPERATIONS:
        raise Refused(400, f"There is no correction {str(op)[:40]!r}.", f"{', '.join(OPERATIONS)}.", "choose one.")
    if op == "split":
        labels, line = [request.get("label")], _line(request.get("line"))
    else:
        labels = request.get("labels")
    if not isinstance(labels, list) or not labels or not all(type(label) is int for label in labels):
        raise Refused(400, "The labels are no list of whole numbers.", "labels of objects.", "name the objects.")
    labels = list(dict.fromkeys(labels))
    if op == "rename":
        taxon = taxon_of(request.get("taxon"))
        return lambda log: {"op": op, "labels": [each.label for each in _found(log, labels)], "taxon": taxon}
    if op == "delete":
        return lambda log: _line_of(op, [each.label for each in _found(log, labels)], [])
    if op == "merge":
        return lambda log: _merged(log, labels, remeasured)
    return lambda log: _split(log, labels[0], line, remeasured)


def _line_of(op, removed, added):
    return {"op": op, "removed": removed, "added": [shape.to_json() for shape in added]}


def _found(log, labels):
    lost = [label for label in labels if label not in log.shapes]
    if lost:
        raise Refused(404, f"There is no object {lost[0]}.", "labels of objects.", "read the objects again.")
    return [log.shapes[label] for label in labels]


def _merged(log, labels, remeasured):
    found = _found(log, labels)
    if len(found) < 2:
        raise Refused(400, "One object is nothing to merge.", "two objects or more.", "name another one.")
    largest = max(found, key=lambda shape: shape.area)
    window, mask = merge([(shape.window, shape.mask) for shape in found])
    return _line_of("merge", labels, [remeasured(log.fresh(1)[0], largest.taxon, window, mask)])


def _split(log, label, line, remeasured):
    (found,) = _found(log, [label])
    parts = split(found.window, found.mask, line)
    added = [
        remeasured(new, found.taxon, window, mask)
        for new, (window, mask) in zip(log.fresh(len(parts)), parts, strict=True)
    ]
    return _line_of("split", [label], added)


def taxon_of(name):
    """Checks the name of a taxon; gives it with single spaces.

    Raises:
        Refused: If it is none.

    Example:

    >>> taxon_of(" Calanus  sp ")
    'Calanus sp'
    """
    text = " ".join(name.split()) if isinstance(name, str) else ""
    # To EcoTaxa a category `na` is none, and what was validated as it would be refused.
    if is_missing(text) or not TAXON.fullmatch(text):
        raise Refused(
            400,
            f"{str(name)[:100]!r} is no name of a taxon.",
            "1 to 100 letters, digits, spaces and _ - < > ( ), other than na and nan.",
            "choose another name.",
        )
    return text


def _line(points):
    good = isinstance(points, list) and 2 <= len(points) <= MAX_POINTS
    if not good or not all(_is_point(point) for point in points):
        raise Refused(400, "The line is no list of points.", f"2 to {MAX_POINTS} points [x, y].", "draw a line.")
    return points


def _is_point(point):
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(type(value) in (int, float) and abs(value) < 1e7 for value in point)
    )
