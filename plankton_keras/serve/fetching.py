"""Scans predicted by a service into a prediction folder like that of `plankton predict`.

The scan goes over the wire once and what was found comes back. The alternative, windows to the service and
probabilities back, would move up to eight times the bytes of the scan, and need TensorFlow's judge on this side.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.errors import ArtefactError, InputError, PlanktonError
from plankton_keras.files import read_json, sha256, write_json
from plankton_keras.journal import JOBS, NAME, OF_SCANS, Journal
from plankton_keras.pairs import stem_of
from plankton_keras.threads import ahead

AGAIN = "choose another --out, or --overwrite."


@dataclass(frozen=True)
class _Sent:
    """A scan that was uploaded: its path, its digest, and its job or what went wrong."""

    path: Path
    digest: str | None = None
    id: str | None = None
    error: PlanktonError | None = None


class Fetcher:
    """Has scans predicted by a service.

    Args:
        client: A `client.Client`.
        out: The prediction folder; scans that are done in it are left.
    """

    def __init__(self, client, out):
        self._client, self.out, self._journal = client, Path(out), Journal(out)
        self._jobs_path = self.out / JOBS
        # The next upload is noted while a result is taken.
        self._lock = threading.Lock()
        self._jobs = read_json(self._jobs_path, AGAIN) if self._jobs_path.is_file() else {}

    @property
    def scans(self):
        """Entries of the scans that are done, as in `journal.Journal`."""
        return self._journal.scans

    def predict(self, paths, dpi=None, tell=lambda done, total: None):
        """Predicts scans; the next one is uploaded while one is worked on.

        Args:
            paths: The scans.
            dpi: Their resolution where the files do not say it, or None.
            tell: Called with `(share of the scans that is done, number of scans)`.

        Yields:
            `(path, failed)` of each, in order: its entry as of `journal.Journal.fail`, None where it is done.

        Raises:
            ArtefactError: If the folder holds predictions of another model or with other settings.
            PlanktonError: If the service cannot be reached.
        """
        self._journal.recognise(paths)
        for index, sent in enumerate(ahead(self._upload(path, dpi) for path in paths)):
            try:
                if sent.error:
                    raise sent.error
                if sent.id is not None:
                    self._client.wait(sent.id, lambda share, index=index: tell(index + share, len(paths)))
                    self._take(sent)
                yield sent.path, None
            except InputError as error:
                self._forget(sent.path)
                yield sent.path, self._journal.fail(sent.path, error.what)
            tell(index + 1, len(paths))

    def finish(self):
        """Writes the end of prediction.json."""
        self._journal.finish()
        if not self._jobs:
            self._jobs_path.unlink(missing_ok=True)

    def _upload(self, path, dpi):
        """Uploads a scan, unless it is done; what is wrong with it is told in its turn."""
        try:
            return self._send(path, dpi, sha256(path))
        except InputError as error:
            return _Sent(path, error=error)

    def _send(self, path, dpi, digest):
        if self._journal.digest(path) == digest:
            return _Sent(path, digest)
        begun = self._jobs.get(str(path), {})
        id = begun.get("id") if begun.get("sha256") == digest else None
        if id is not None and (job := self._client.job(id) or {}).get("state") != "uploading":
            if job and job["state"] not in ("failed", "cancelled"):
                return _Sent(path, digest, id)
            id = None
        return _Sent(path, digest, self._client.upload(path, dpi, id, lambda id: self._note(path, digest, id)))

    def _note(self, path, digest, id):
        with self._lock:
            self._jobs[str(path)] = {"id": id, "sha256": digest}
            write_json(self._jobs_path, self._jobs)

    def _forget(self, path):
        with self._lock:
            if self._jobs.pop(str(path), None):
                write_json(self._jobs_path, self._jobs)

    def _take(self, sent):
        """Downloads what was found and notes it."""
        stem = stem_of(sent.path)
        (place,) = self._client.download(sent.id, self.out / f".{stem}", lambda name: name == NAME)
        journal = read_json(place, "ask for the scan again.")
        (entry,) = journal["scans"]
        if entry["sha256"] != sent.digest:
            raise InputError(f"{sent.path} is another scan for the service.", "the same bytes.", "send it again.")
        head = {name: value for name, value in journal.items() if name not in (*OF_SCANS, "versions")}
        self._journal.claim(head, journal["versions"])
        files = self._client.download(sent.id, place.parent, entry["files"].__contains__)
        if {path.name for path in files} != set(entry["files"]):
            raise ArtefactError(f"{sent.path} lacks files.", f"{', '.join(entry['files'])}.", "ask for the scan again.")
        # The service calls a scan by a plain name, this folder by that of its file.
        names = [stem + name.removeprefix(entry["scan"]) for name in entry["files"]]
        for old, new in zip(entry["files"], names, strict=True):
            (place.parent / old).replace(self.out / new)
        place.unlink()
        place.parent.rmdir()
        self._journal.add(sent.path, {**entry, "scan": stem, "files": names})
        self._forget(sent.path)
