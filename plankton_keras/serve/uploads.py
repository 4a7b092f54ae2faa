"""Uploads by the protocol tus 1.0: streamed to disk, and resumed where the file ends. The file is the truth."""

import base64
import binascii
import math
import os
import threading

from starlette.concurrency import run_in_threadpool

from plankton_keras.ecotaxa.package import file_name
from plankton_keras.pairs import stem_of
from plankton_keras.serve.limits import disk_full, is_disk_full
from plankton_keras.serve.refusing import Refused

VERSION = "1.0.0"
CONTENT_TYPE = "application/offset+octet-stream"
# Bytes of an upload that are held at most before they are written.
HELD = 2**20
MAX_DPI = 100_000
MAX_LABEL = 80
MAX_METADATA = 4096


def read_metadata(text):
    """Reads the header `Upload-Metadata`.

    Args:
        text: Pairs `NAME BASE64`, separated by commas, or None.

    Returns:
        `(label, dpi)`: what the scan is called, cleaned for any file system, and its resolution or None.

    Raises:
        Refused: If it is no such header, or the resolution is no number.

    Example:

    >>> read_metadata("filename Li4vcmcgMV9zY2FuLnBuZw==,dpi MjQwMA==")
    ('rg_1', 2400.0)
    """
    if len(text or "") > MAX_METADATA:
        raise Refused(400, "Upload-Metadata is too long.", f"at most {MAX_METADATA} characters.", "shorten the name.")
    values = {}
    for pair in (text or "").split(","):
        name, _, encoded = pair.strip().partition(" ")
        try:
            values[name] = base64.b64decode(encoded, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            what = f"Upload-Metadata {name[:40]!r} is no base64 of UTF-8."
            raise Refused(400, what, "filename BASE64,dpi BASE64.", "encode it.") from None
    return label_of(values.get("filename", "")), _dpi(values.get("dpi"))


def label_of(name):
    """Gives what a scan is called by the name of its file; it is never used as a path from the client.

    Example:

    >>> label_of("C:/scans/Été 2009_scan.png.ppm"), label_of("../.."), label_of("")
    ('Ete_2009', 'scan', 'scan')
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    label = file_name(stem_of(last))[:MAX_LABEL].strip("._-")
    # Until it is the stem of the file that it becomes, such as of "a_mask_mask.png".
    while label != stem_of(f"{label}_scan.png"):
        label = stem_of(f"{label}_scan.png").strip("._-")
    return label or "scan"


def _dpi(text):
    if text is None or not text.strip():
        return None
    try:
        dpi = float(text)
    except ValueError:
        dpi = math.nan
    if not 1 <= dpi <= MAX_DPI:
        raise Refused(400, f"dpi is {text[:40]!r}.", f"a number from 1 to {MAX_DPI}.", "give dots per inch.")
    return dpi


def read_number(headers, name):
    """Reads a header that is a whole number from 0 on.

    Args:
        headers: The headers of a request.
        name: Name of the header.

    Raises:
        Refused: If it is missing or no such number.
    """
    text = headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refused(400, f"{name} is {text[:40]!r}.", "a whole number of bytes.", "send the header.")
    return int(text)


class Busy:
    """Which uploads are being written to: each by one request at a time."""

    def __init__(self):
        self._lock, self._ids = threading.Lock(), set()

    def take(self, id):
        """Takes an upload.

        Raises:
            Refused: If another request has it.
        """
        with self._lock:
            if id in self._ids:
                raise Refused(
                    423, "Another request writes to this upload.", "one at a time.", "wait, then ask for its offset."
                )
            self._ids.add(id)

    def release(self, id):
        """Gives it back."""
        with self._lock:
            self._ids.discard(id)


async def append(path, length, offset, chunks):
    """Appends the body of a request to the file of an upload; what has come stays, however the request ends.

    Args:
        path: The file.
        length: Bytes of the whole upload.
        offset: Where the body begins, as the client says.
        chunks: Asynchronous iterator over bytes.

    Returns:
        Bytes of the file now, all of them on the disk.

    Raises:
        Refused: If the file does not end at the offset, the body is longer than the upload, or the disk is full.
    """
    begun = path.stat().st_size
    if offset != begun:
        raise Refused(
            409, f"The upload has {begun} bytes, not {offset}.", "the body from there on.", "ask for the offset (HEAD)."
        )
    with open(path, "ab", buffering=0) as file:
        held, size = bytearray(), begun
        try:
            async for chunk in chunks:
                held += chunk
                size += len(chunk)
                if size > length:
                    held.clear()
                    file.truncate(begun)
                    raise _too_long(length)
                if len(held) >= HELD:
                    await run_in_threadpool(_write, file, held)
            await run_in_threadpool(_write, file, held)
            await run_in_threadpool(os.fsync, file.fileno())
        except OSError as error:
            raise disk_full() if is_disk_full(error) else error from None
        except BaseException:
            # The client is gone, or the service ends: nothing may be awaited any more.
            _write(file, held)
            os.fsync(file.fileno())
            raise
    return path.stat().st_size


def _write(file, held):
    written = 0
    with memoryview(held) as view:
        while written < len(view):
            written += file.write(view[written:])
    held.clear()


def _too_long(length):
    return Refused(413, "The body is longer than the upload.", f"{length} bytes in all.", "send what was announced.")
