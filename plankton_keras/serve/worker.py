"""The thread that does the jobs, one after the other; a kill in the middle costs what the journal does not know yet."""

import logging
import threading
import time

from plankton_keras.errors import InputError, PlanktonError
from plankton_keras.serve.claims import check_scan
from plankton_keras.serve.limits import disk_full, is_disk_full
from plankton_keras.serve.refusing import three_lines
from plankton_keras.serve.working import measure, predict

log = logging.getLogger(__name__)

# Share of the progress at which prediction ends and measuring begins.
PREDICTED = 0.6
# Seconds between two words of progress, and between two looks for what has expired.
TELL_SECONDS, LOOK_SECONDS = 0.5, 10


class _Stopped(Exception):
    """The job is no longer wanted, or the service ends."""


class Worker:
    """Does the jobs.

    Args:
        jobs: The `jobs.Jobs`.
        current: Gives `(predictor, version)`: the `predictors.Predictor` to use, and the number of its version; None
            where none is loaded yet.
        naming: As in `tabulating.Context`, or None.
    """

    def __init__(self, jobs, current, naming=None):
        self._jobs, self._current, self._naming = jobs, current, naming
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Begins."""
        self._thread.start()

    def close(self, seconds=10):
        """Ends; a job in the middle waits for the next start.

        Args:
            seconds: How long to wait for the thread.
        """
        self._stopping.set()
        self._jobs.woken.set()
        self._thread.join(seconds)

    def _run(self):
        while not self._stopping.is_set():
            # Cleared first, so that what comes in the meantime is not missed.
            self._jobs.woken.clear()
            try:
                worked = self.work()
            except Exception:
                # Such as a full disk under the store: the next look may do better.
                log.exception("The jobs cannot be looked at")
                worked = False
            if not worked:
                self._jobs.woken.wait(LOOK_SECONDS)

    def work(self):
        """Does the job that has waited longest, and deletes what has expired.

        Returns:
            Whether there was one.
        """
        self._jobs.expire()
        self._jobs.put_back()
        waiting, model = self._jobs.store.all("waiting"), self._current()
        if not waiting or model is None:
            return False
        row = waiting[-1]
        with self._jobs.lock:
            self._jobs.busy = row.id
        try:
            self._do(row, *model)
        except _Stopped:
            if self._stopping.is_set():
                # Not the fault of the scan: it counts as not begun.
                begun = ("predicting", "measuring")
                self._jobs.store.change(row.id, begun, state="waiting", attempts=row.attempts)
        except PlanktonError as error:
            self._fail(row, three_lines(error))
        except Exception as error:
            log.exception("Job %s failed", row.id)
            if isinstance(error, OSError) and is_disk_full(error):
                self._fail(row, three_lines(disk_full()))
                return True
            what = {"error": "The service failed at this scan.", "expected": "that it does not."}
            self._fail(row, {**what, "fix": "send it again; if it fails again, tell who runs the service."})
        finally:
            self._jobs.release()
        return True

    def _do(self, row, predictor, version):
        jobs, deadline = self._jobs, time.monotonic() + self._jobs.limits.job_seconds
        begun = {"started": jobs.clock(), "attempts": row.attempts + 1}
        if row.source:
            self._step(row.id, "waiting", state="measuring", **begun)
            low = 0.0
        else:
            begun |= {"model": jobs.name, "version": version, "model_sha256": predictor.digest}
            self._step(row.id, "waiting", state="predicting", **begun)
            row = self._named(row)
            predict(jobs.task(row), predictor, jobs.config, self._teller(row.id, 0.0, PREDICTED, deadline))
            self._step(row.id, "predicting", state="measuring")
            low = PREDICTED
        tell = self._teller(row.id, low, 1.0, deadline)
        objects, dpi, height, width = measure(jobs.task(row), self._naming, tell)
        tell(1, 1)
        found = {"objects": objects, "dpi": dpi, "height": height, "width": width}
        if not jobs.end(row.id, ("measuring",), "done", **found):
            raise _Stopped

    def _step(self, id, before, **values):
        """Brings a job to its next state."""
        if not self._jobs.store.change(id, (before,), **values):
            raise _Stopped
        self._jobs.notifier.tell(id)

    def _named(self, row):
        """Checks an upload and gives it the name of a scan; gives the row again."""
        jobs, path = self._jobs, self._jobs.upload(row.id)
        if path.is_file():
            claim = check_scan(path, jobs.limits.megapixels)
            name = f"{row.scan}_scan{claim.suffix}"
            # Noted first: after a kill in between the file is still there under its old name.
            jobs.store.change(row.id, file=name, height=claim.height, width=claim.width)
            path.replace(path.with_name(name))
        return jobs.get(row.id)

    def _teller(self, id, low, high, deadline):
        """Makes the function that is told how far a job is; it also ends jobs."""
        told = 0.0

        def tell(done, total):
            nonlocal told
            now = time.monotonic()
            self._jobs.progress[id] = low + (high - low) * done / max(total, 1)
            if now < told + TELL_SECONDS and done < total:
                return
            told = now
            row = self._jobs.store.get(id)
            if self._stopping.is_set() or row is None or row.is_final:
                raise _Stopped
            if now > deadline:
                raise InputError(
                    f"The scan took more than {self._jobs.limits.job_seconds:g} s.",
                    "a scan that is done in that time.",
                    "cut it into parts, or have the limit raised.",
                )
            self._jobs.notifier.tell(id)

        return tell

    def _fail(self, row, error):
        """Notes that a job failed, without the paths of the server in what is said."""
        known = self._jobs.store.get(row.id)
        if known is None:
            return
        paths = {str(self._jobs.upload(row.id)): row.scan}
        if known.file:
            task = self._jobs.task(known)
            paths |= {str(task.scan): row.scan, str(task.prediction): "the prediction"}
        paths[str(self._jobs.folder(row.id))] = "the job"
        for path, name in paths.items():
            error = {part: text.replace(path, name) for part, text in error.items()}
        self._jobs.end(row.id, ("predicting", "measuring", "waiting"), "failed", error=error)
