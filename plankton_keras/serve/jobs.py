"""Jobs: scans that wait for their turn, are predicted and measured by one thread, and are deleted after some time.

What outlives the service stands in the store and in the job's folder. A job is `done` last of all, and only then shown.
"""

import datetime
import fcntl
import logging
import re
import shutil
import threading
import time
import uuid
from pathlib import Path

from plankton_keras.config import PredictConfig, parse_gray_range
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.serve.folders import find_folder, folders_of
from plankton_keras.serve.limits import HOUR, Limits, check_disk
from plankton_keras.serve.notifying import Notifier
from plankton_keras.serve.refusing import Refused, three_lines
from plankton_keras.serve.store import WAITING_STATES, Row, Store
from plankton_keras.serve.working import Task, gray_range_of

log = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
# Names in the data folder, and of an upload in the folder of its job.
STORE, FOLDERS, LOCK, UPLOAD, TILES = "jobs.sqlite", "jobs", "lock", "scan.bin", "tiles"
# Where the folders of jobs are kept whose table is gone, beside the others.
UNKNOWN = "unknown"
# Times that the work on a scan may end with the service; then it is taken for the cause.
ATTEMPTS = 3


class Jobs:
    """All jobs of a data folder; any thread may use it. `serve.worker.Worker` does them.

    Args:
        data: The data folder; it is made where it is missing, and belongs to one service at a time.
        limits: The `limits.Limits`, or None for the default.
        config: The `config.PredictConfig` of predictions, or None for the default.
        predictions: Folder of the prediction folders that can be opened, or None.
        name: Name of the model.
        clock: Gives the seconds since 1970.

    Attributes:
        store: The `store.Store`.
        notifier: The `notifying.Notifier`, which tells of each change.
        progress: Share of the work that is done, 0..1, by id of the job that is worked on.
        woken: `threading.Event` that is set when there may be something to do.
        before_delete: List of functions of an id, called before the folder of a job is deleted.

    Raises:
        ArtefactError: If another service uses the data folder, or it cannot be read.
    """

    def __init__(self, data, limits=None, config=None, predictions=None, name="plankton", clock=time.time):
        self.data, self.limits, self.config = Path(data), limits or Limits(), config or PredictConfig()
        self.name, self.clock, self._predictions = name, clock, predictions
        # Scans and results are nobody else's business on this machine.
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data.joinpath(FOLDERS).mkdir(exist_ok=True)
        self._locked = _lock(self.data / LOCK)
        self.store, self.notifier = Store(self.data / STORE, self._set_aside), Notifier()
        self.progress, self.woken, self.before_delete = {}, threading.Event(), []
        self.lock, self.busy = threading.Lock(), None
        self._recover()

    def close(self):
        """Ends all streams and lets go of the data folder."""
        self.notifier.close()
        self.store.close()
        self._locked.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _set_aside(self):
        """Keeps what an earlier table knew: scans and corrections that a person may want back."""
        lost = self._folders()
        if lost:
            place = self.data / FOLDERS / UNKNOWN
            place.mkdir(exist_ok=True)
            for folder in lost:
                folder.replace(place / folder.name)
            log.warning(
                "%s is new and knows none of %d folders of jobs: they are kept in %s",
                self.data / STORE,
                len(lost),
                place,
            )

    def _folders(self):
        """Lists the folders of jobs, known or not."""
        return [folder for folder in self.data.joinpath(FOLDERS).iterdir() if ID.fullmatch(folder.name)]

    def _recover(self):
        """Puts back what an earlier service left in the middle."""
        self.put_back()
        for row in self.store.all("uploading"):
            if not self.upload(row.id).is_file():
                self.store.remove(row.id)
            self.received(row.id)
        known = {row.id for row in self.store.all()}
        for folder in self._folders():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def put_back(self):
        """Lets jobs wait again that nobody works on any more; called when nobody does."""
        for row in self.store.all("predicting", "measuring"):
            if row.attempts < ATTEMPTS:
                self.store.change(row.id, state="waiting")
            else:
                self.end(row.id, None, "failed", error=three_lines(_deadly(row)))

    def folder(self, id):
        """Gives the folder of a job.

        Raises:
            Refused: If that is no id.
        """
        if not ID.fullmatch(id):
            raise _unknown()
        return self.data / FOLDERS / id

    def upload(self, id):
        """Gives the file of an upload that is not whole."""
        return self.folder(id) / UPLOAD

    def get(self, id):
        """Gives the `store.Row` of a job.

        Raises:
            Refused: If there is no such job.
        """
        row = self.store.get(id) if ID.fullmatch(id) else None
        if row is None:
            raise _unknown()
        return row

    def finished(self, id):
        """Gives the `store.Row` of a job that is done.

        Raises:
            Refused: If there is no such job, or it is not done.
        """
        row = self.get(id)
        if row.state != "done":
            raise Refused(409, f"The job is {row.state}.", "a job that is done.", "wait until it is.")
        return row

    def task(self, row):
        """Gives the `working.Task` of a job whose scan has its name."""
        folder, source = self.folder(row.id), row.source and Path(row.source)
        return Task(folder, Path(row.file) if source else folder / row.file, row.scan, row.given_dpi, source)

    def scan(self, id):
        """Finds the scan of a job, for its tiles.

        Returns:
            `(path, gray_range, folder)`: the scan, its gray range or None, and the folder for its tiles.

        Raises:
            Refused: If there is no such job, or its scan is not whole, not looked at yet, or bad.
        """
        row = self.get(id)
        # The name is noted before the file has it.
        named = row.file and not self.upload(id).is_file()
        if not named or row.state not in ("predicting", "measuring", "done"):
            raise Refused(409, f"The job is {row.state}.", "a job whose scan is whole.", "wait until it is.")
        task, range_ = self.task(row), parse_gray_range(self.config.gray_range)
        if task.source:
            range_ = gray_range_of(task.content())
        return task.scan, range_, task.folder / TILES

    def describe(self, row):
        """Gives what the service says of a job, as plain values."""
        progress = {"done": 1.0}.get(row.state, self.progress.get(row.id, 0.0))
        received = row.bytes
        if row.state == "uploading":
            received = _size(self.upload(row.id))
            progress = received / row.bytes
        return {
            "id": row.id,
            "scan": row.scan,
            "state": row.state,
            "progress": round(progress, 3),
            "error": row.error,
            "created": _iso(row.created),
            "expires": _iso(row.expires),
            "seconds": round(row.finished - row.started, 2) if row.finished and row.started else None,
            "model": row.model,
            "version": row.version,
            "model_sha256": row.model_sha256,
            "height": row.height,
            "width": row.width,
            "megapixels": round(row.height * row.width / 1e6, 2) if row.height else None,
            "dpi": row.dpi or row.given_dpi,
            "objects": row.objects,
            "revision": row.revision,
            "bytes": row.bytes,
            "received": received,
        }

    def new_upload(self, length, label, dpi=None):
        """Adds a job whose scan is to be uploaded.

        Args:
            length: Bytes of the scan.
            label: What it is called, as `uploads.read_metadata` gives it.
            dpi: Resolution where the file does not say it, or None.

        Returns:
            The `store.Row`.

        Raises:
            Refused: If the scan is too large or empty, the queue full, or the disk.
        """
        self.limits.check_length(length)
        with self.lock:
            others = [row for row in self.store.all(*WAITING_STATES) if row.source is None]
            self.limits.check_queue(len(others))
            check_disk(self.data, length + sum(row.bytes - self.describe(row)["received"] for row in others))
            row = Row(
                id=uuid.uuid4().hex,
                scan=label,
                state="uploading",
                bytes=length,
                created=self.clock(),
                given_dpi=dpi,
                dpi=dpi,
            )
            self.folder(row.id).mkdir()
            self.upload(row.id).touch()
            self.store.add(row)
        self.notifier.tell(row.id)
        return row

    def received(self, id):
        """Looks whether an upload is whole; then its job waits."""
        row = self.store.get(id)
        if row and row.state == "uploading" and _size(self.upload(id)) == row.bytes:
            self.store.change(id, ("uploading",), state="waiting")
            self.woken.set()
        self.notifier.tell(id)

    def folders(self):
        """Lists the prediction folders that can be opened, as `folders.Folder`."""
        return folders_of(self._predictions)

    def open_folder(self, folder_id):
        """Adds a job for each scan of a prediction folder that has none; its objects only have to be measured.

        What was predicted anew since, by another model, with other settings or of another scan, has none yet.

        Returns:
            The rows, in the order of the folder.

        Raises:
            Refused: If there is no such folder.
        """
        folder, rows = find_folder(self._predictions, folder_id), []
        with self.lock:
            rows_of = self.store.all(*WAITING_STATES, "done")
            # Jobs of earlier services have the model alone.
            known = {(row.source, row.scan, row.made or row.model_sha256): row for row in rows_of}
            for new in folder.rows(self.clock):
                row = known.get((new.source, new.scan, new.made)) or known.get((new.source, new.scan, new.model_sha256))
                if row is None:
                    row = new
                    self.folder(row.id).mkdir()
                    self.store.add(row)
                rows.append(row)
        self.woken.set()
        for row in rows:
            self.notifier.tell(row.id)
        return rows

    def corrected(self, id, revision, objects):
        """Notes a correction and the number of objects; the job is kept as long from now on as a new one."""
        expires = self.clock() + self.limits.keep_hours * HOUR
        self.store.change(id, ("done",), revision=revision, objects=objects, expires=expires)
        self.notifier.tell(id)

    def end(self, id, states, state, **values):
        """Brings a job to a final state.

        Args:
            id: Of the job.
            states: As for `store.Store.change`.
            state: One of `store.FINAL_STATES`.
            values: What changes beside it.

        Returns:
            Whether it was in one of these states.
        """
        now = self.clock()
        expires = now + self.limits.keep_hours * HOUR
        changed = self.store.change(id, states, state=state, finished=now, expires=expires, **values)
        self.progress.pop(id, None)
        self.notifier.tell(id)
        return changed

    def remove(self, id):
        """Cancels a job that is not finished, or deletes one that is.

        Returns:
            The `store.Row` of the cancelled job, or None if it was deleted.

        Raises:
            Refused: If there is no such job.
        """
        self.get(id)
        if self.end(id, WAITING_STATES, "cancelled"):
            self._clear(id)
            return self.get(id)
        self.store.remove(id)
        self._clear(id)
        self.notifier.tell(id)
        return None

    def _clear(self, id):
        """Deletes the folder of a job, unless it is worked on: then its worker does, as soon as it notices."""
        with self.lock:
            if self.busy == id:
                return
        for function in self.before_delete:
            function(id)
        shutil.rmtree(self.folder(id), ignore_errors=True)

    def release(self):
        """Says that no job is worked on any more; deletes what is no longer wanted of the last one."""
        with self.lock:
            id, self.busy = self.busy, None
        row = self.store.get(id)
        if row is None or row.state == "cancelled":
            self._clear(id)

    def expire(self):
        """Deletes jobs whose time has come, and uploads that rest for too long."""
        now = self.clock()
        for row in self.store.expired(now):
            # A person may have corrected it since it was looked up.
            if self.store.remove(row.id, expired=now):
                self._clear(row.id)
                self.notifier.tell(row.id)
        for row in self.store.all("uploading"):
            path = self.upload(row.id)
            touched = path.stat().st_mtime if path.is_file() else row.created
            if now - max(touched, row.created) > self.limits.upload_hours * HOUR:
                self.remove(row.id)


def _lock(path):
    """Takes a data folder for this process; a kill gives it back."""
    file = open(path, "w")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ArtefactError(
            f"{path.parent} is used by another service.", "a data folder of its own.", "choose another --data."
        ) from None
    return file


def _size(path):
    """Gives the bytes of a file; 0 where it is gone, such as by getting the name of a scan meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _deadly(row):
    return InputError(
        f"{row.scan} ended the service {ATTEMPTS} times.",
        "a scan that fits into the memory of the service.",
        "cut it into parts, or give the service more memory.",
    )


def _unknown():
    return Refused(404, "There is no such job.", "an id of GET /v1/jobs.", "look there; results are deleted in time.")


def _iso(seconds):
    return seconds and datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
