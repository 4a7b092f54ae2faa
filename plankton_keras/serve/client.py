"""A client of the service: probabilities of patches, and whole scans by upload.

Patches are asked for as TensorFlow Serving takes them, so that its address does too. What is asked again after a broken
connection goes on where it was.
"""

import base64
import json
import time
from pathlib import Path

import cv2
import httpx
import numpy as np

from plankton_keras.errors import ArtefactError, InputError, PlanktonError, SettingError
from plankton_keras.files import whole_file
from plankton_keras.images import GRAY_PNG

# Bytes of an upload that are sent at once: what a broken connection costs.
PART = 16 * 2**20
FINAL = ("done", "failed", "cancelled")
# Times that a request is tried, with twice the pause each time, from this many seconds on.
TRIES, PAUSE = 6, 0.5
TUS = {"Tus-Resumable": "1.0.0"}


class Client:
    """Talks to one service.

    Args:
        url: Its address, such as `http://127.0.0.1:8501`.
        token: Its token, or None.
        name: Name of the model.
        part: Bytes of an upload that are sent at once.

    Example:

    >>> Client("file:///tmp")
    Traceback (most recent call last):
    plankton_keras.errors.SettingError: file:///tmp is no address of a service.
    Expected: http://HOST:PORT or https://HOST.
    Fix: give what plankton serve printed.
    """

    def __init__(self, url, token=None, name="plankton", part=PART):
        if not str(url).startswith(("http://", "https://")):
            raise SettingError(
                f"{url} is no address of a service.",
                "http://HOST:PORT or https://HOST.",
                "give what plankton serve printed.",
            )
        self.url, self.name, self._part = str(url).rstrip("/"), name, part
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Computing takes longer than answering.
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=httpx.Timeout(10, read=300, write=60))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._http.close()

    def service(self):
        """Tells what is served: model, version, classes, limits; a dictionary."""
        # The first question: that nobody is there is said at once.
        return self._ask("GET", "/v1/service", resent=False).json()

    def predict(self, patches):
        """Asks for the probabilities of patches, as PNG files.

        Args:
            patches: uint8 `(count, height, width)`; height and width multiples of 64.

        Returns:
            float32 `(count, height, width, classes)`.

        Raises:
            InputError: If the service does not take them.
        """
        encoded = [cv2.imencode(".png", patch, GRAY_PNG)[1].tobytes() for patch in patches]
        rows = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in encoded]
        body = {"signature_name": "serving_bytes", "instances": rows}
        answer = self._ask("POST", f"/v1/models/{self.name}:predict", json=body)
        return np.array(answer.json()["predictions"], np.float32)

    def upload(self, path, dpi=None, id=None, begun=lambda id: None, tell=lambda done, total: None):
        """Uploads a scan, whose job then waits for its turn.

        Args:
            path: The scan.
            dpi: Its resolution where the file does not say it, or None.
            id: Of an upload that was begun and is completed, or None.
            begun: Called with the id as soon as there is one.
            tell: Called with `(bytes sent, bytes in all)`.

        Returns:
            The id of upload and job.

        Raises:
            InputError: If the service does not take it.
        """
        path = Path(path)
        total = path.stat().st_size
        if id is None:
            metadata = [("filename", path.name), *([("dpi", f"{dpi:g}")] if dpi else [])]
            words = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata)
            headers = {**TUS, "Upload-Length": str(total), "Upload-Metadata": words}
            # Where the answer is lost, an upload that nobody completes would stay.
            created = self._ask("POST", "/v1/uploads", resent=False, headers=headers)
            id = created.headers["Location"].rstrip("/").rpartition("/")[2]
        begun(id)
        with open(path, "rb") as file:
            sent = self._offset(id)
            failures = 0
            while sent < total:
                tell(sent, total)
                file.seek(sent)
                try:
                    self._send(id, sent, file.read(self._part))
                    failures = 0
                except (httpx.TransportError, _Later) as error:
                    failures += 1
                    if failures == TRIES:
                        raise _said(error, self.url) from error
                    time.sleep(PAUSE * 2**failures)
                # As the service counts, whatever became of what was sent.
                sent = self._offset(id)
        tell(total, total)
        return id

    def _offset(self, id):
        return int(self._ask("HEAD", f"/v1/uploads/{id}", headers=TUS).headers["Upload-Offset"])

    def _send(self, id, start, content):
        headers = {**TUS, "Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        answer = self._http.patch(f"/v1/uploads/{id}", headers=headers, content=content)
        # The offset of another try that came through after all.
        if answer.status_code != 409:
            _check(answer, self.url)

    def job(self, id):
        """Tells how far a job is: a dictionary, None if there is no such job."""
        try:
            return self._ask("GET", f"/v1/jobs/{id}").json()
        except _Unknown:
            return None

    def wait(self, id, tell=lambda share: None, seconds=1):
        """Waits until a job is finished.

        Args:
            id: Of the job.
            tell: Called with the share of it that is done, 0..1.
            seconds: Time between two looks.

        Returns:
            The job, a dictionary; `done`.

        Raises:
            InputError: If it failed or was cancelled.
        """
        while True:
            job = self._ask("GET", f"/v1/jobs/{id}").json()
            tell(job["progress"] or 0)
            if job["state"] in FINAL:
                break
            time.sleep(seconds)
        if job["state"] != "done":
            error = job["error"] or {}
            raise InputError(
                f"{job['scan']} {job['state']}: {error.get('error', 'nobody says why')}",
                error.get("expected", "a scan that can be predicted."),
                error.get("fix", "send it again."),
            )
        return job

    def download(self, id, folder, wanted=lambda name: True):
        """Downloads the files of a job that is done.

        Args:
            id: Of the job.
            folder: Where they go; each appears whole or not at all.
            wanted: Function of a name that tells whether it is.

        Returns:
            The paths.

        Raises:
            ArtefactError: If the service names a file that would not stay in the folder.
        """
        paths = []
        for file in self._ask("GET", f"/v1/jobs/{id}/files").json()["files"]:
            name = file["name"]
            if Path(name).name != name or name.startswith("."):
                raise ArtefactError(f"{self.url} names a file {name!r}.", "a plain name.", "do not trust this service.")
            if wanted(name):
                paths.append(Path(folder) / name)
                with whole_file(paths[-1]) as partial:
                    self._save(f"/v1/jobs/{id}/files/{name}", partial)
        return paths

    def _save(self, address, path):
        for count in range(1, TRIES + 1):
            try:
                with self._http.stream("GET", address) as answer, open(path, "wb") as file:
                    if answer.is_error:
                        answer.read()
                    _check(answer, self.url)
                    for part in answer.iter_bytes():
                        file.write(part)
                return
            except (httpx.TransportError, _Later) as error:
                if count == TRIES:
                    raise _said(error, self.url) from error
            time.sleep(PAUSE * 2**count)

    def _ask(self, method, address, resent=True, **content):
        """Sends a request, again where the service is busy; if it may be `resent`, where nobody answers too."""
        for count in range(1, TRIES + 1):
            pause = PAUSE * 2**count
            try:
                answer = self._http.request(method, address, **content)
                if answer.status_code not in (429, 503) or count == TRIES:
                    return _check(answer, self.url)
                said = answer.headers.get("Retry-After", "")
                pause = max(pause, int(said)) if said.isdigit() and len(said) < 4 else pause
            except httpx.TransportError as error:
                if count == TRIES or not resent:
                    raise _unreachable(self.url, error) from error
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")


class _Unknown(InputError):
    """The service does not know what was asked for."""


class _Later(PlanktonError):
    """The service, or what stands before it, cannot answer for the moment."""


def _check(answer, url):
    """Makes an answer that is an error one of ours."""
    if not answer.is_error:
        return answer
    try:
        said = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        said = {}
    said = said if isinstance(said, dict) else {}
    what = said.get("error", f"{url} answers {answer.status_code} {answer.reason_phrase}.")
    lines = what, said.get("expected", "a request that it takes."), said.get("fix", "see docs/serve.md.")
    if answer.status_code == 401:
        raise SettingError(what, "the service's token.", "set PLANKTON_TOKEN.")
    # 423: a connection that broke unseen still holds the upload.
    if answer.status_code >= 500 or answer.status_code in (408, 423, 429):
        raise _Later(*lines)
    raise (_Unknown if answer.status_code == 404 else InputError)(*lines)


def _said(error, url):
    """Words an error of the last try."""
    return error if isinstance(error, _Later) else _unreachable(url, error)


def _unreachable(url, error):
    return PlanktonError(
        f"{url} cannot be reached: {str(error) or type(error).__name__}.",
        "a service that runs there.",
        "plankton serve EXPORT",
    )
