"""The folder of numbered versions: the newest is served, and a new one taken up without losing a request.

As TensorFlow Serving does. Requests keep the version that they started with; the last one of them lets go of it.
"""

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from plankton_keras.config import STRIDE
from plankton_keras.errors import ArtefactError, PlanktonError
from plankton_keras.export import METADATA, is_version, newest_version, numbers
from plankton_keras.inference import load_export
from plankton_keras.predictors import Predictor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A version of the export, loaded and warm.

    Attributes:
        number: Its number.
        digest: SHA-256 of the model.
        signatures: `predictors.Signature` by name.
        predictor: The `predictors.Predictor` of whole scans.
        metadata: What its metadata.json says.
    """

    number: int
    digest: str
    signatures: dict
    predictor: Predictor
    metadata: dict = field(default_factory=dict)


def load_version(folder):
    """Loads a version and computes each signature once, since the first time takes much longer.

    Args:
        folder: The folder of the version.

    Returns:
        A `Version`.

    Raises:
        ArtefactError: If it is damaged, or of vignettes.
    """
    folder = Path(folder)
    predictor, signatures, metadata = load_export(folder)
    for signature in signatures.values():
        signature.compute(*(_white(kind, shape) for kind, shape in signature.inputs.values()))
    number = int(folder.name) if is_version(folder) else 1
    return Version(number, predictor.digest, signatures, predictor, metadata)


def _white(kind, shape):
    """Makes an input to warm a signature with."""
    if kind == "bytes":
        return np.array([cv2.imencode(".png", np.full((4 * STRIDE, 4 * STRIDE), 255, np.uint8))[1].tobytes()], object)
    return np.full(
        [1 if side is None else side for side in (1, *(side or 4 * STRIDE for side in shape[1:]))], 255, kind
    )


def _content(folder):
    """Gives names, sizes and times of the files of a version, which tell whether it is still being copied."""
    found = []
    for path in sorted(Path(folder).rglob("*")):
        try:
            found.append((str(path), path.stat().st_size, path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return tuple(found)


class Models:
    """The version that is served, and the folder that new ones come into.

    Args:
        folder: The export, or one version in it.
        name: The model's name in the URL.
        load: Function of a version's folder to a `Version`.
        told: Called with `(number, None or what is wrong)` for each version that was tried.
    """

    def __init__(self, folder, name="plankton", load=load_version, told=lambda number, error: None):
        self.folder, self.name, self._load, self._told = Path(folder), name, load, told
        self._current, self._states = None, {}
        # What was loaded or tried last, and what was seen at the last look.
        self._tried = self._seen = None
        self._stop = threading.Event()
        self._thread = None

    def current(self):
        """Gives the `Version` that is served; None before the first is loaded."""
        return self._current

    def states(self):
        """Gives the state of each version: `(AVAILABLE, LOADING or END, None or what is wrong)` by number."""
        return dict(self._states)

    def start(self, seconds=2):
        """Loads the newest version, and looks for new ones from then on.

        Args:
            seconds: Time between two looks.

        Raises:
            ArtefactError: If there is none, or it cannot be loaded.
        """
        folder = newest_version(self.folder)
        if folder is None:
            raise ArtefactError(
                f"{self.folder} is no export.",
                "a folder with 1/saved_model.pb.",
                f"plankton export RUN --out {self.folder}",
            )
        self._tried = self._seen = (folder, _content(folder))
        self._take(folder)
        self._thread = threading.Thread(target=self._watch, args=(seconds,), name="versions", daemon=True)
        self._thread.start()

    def close(self):
        """Stops looking."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _watch(self, seconds):
        while not self._stop.wait(seconds):
            try:
                self.look()
            except OSError as error:
                log.warning("%s cannot be read: %s", self.folder, error)

    def look(self):
        """Loads the newest version if it is another, or written anew, and has not changed since the last look."""
        found = [self.folder / str(number) for number in reversed(numbers(self.folder))]
        folder = next((path for path in found if (path / METADATA).is_file()), None)
        if folder is None:
            return
        seen, before = (folder, _content(folder)), self._seen
        self._seen = seen
        if seen == self._tried or seen != before:
            return
        self._tried = seen
        try:
            self._take(folder)
        except PlanktonError as error:
            log.error("Version %s is not served: %s Expected: %s", folder.name, error.what, error.expected)
        except Exception:
            # Whatever a foreign model does when it is loaded, the one that works goes on.
            log.exception("Version %s is not served", folder.name)

    def _take(self, folder):
        """Loads a version and serves it; if that fails the one before goes on."""
        number, before = int(folder.name) if is_version(folder) else 1, self._current
        if before is None or before.number != number:
            self._states[number] = ("LOADING", None)
        try:
            loaded = self._load(folder)
        except Exception as error:
            reason = error.what if isinstance(error, PlanktonError) else f"{type(error).__name__}: {error}"
            if before is None or before.number != number:
                self._states[number] = ("END", reason)
            self._told(number, reason)
            raise
        self._current = loaded
        if before:
            self._states[before.number] = ("END", None)
        self._states[number] = ("AVAILABLE", None)
        self._told(number, None)
        log.info("Version %d of %s is served, sha256 %s", number, self.name, loaded.digest)
