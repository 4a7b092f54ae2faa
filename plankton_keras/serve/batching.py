"""Patches of several requests computed together by one thread, and no more requests than can be held."""

import contextlib
import itertools
import logging
import math
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from plankton_keras.errors import InputError

log = logging.getLogger(__name__)

# Pixels computed at once, at most: those of seven patches of 768.
PIXELS = 2**22
# Of the time that a patch takes, how much the newest says.
NEWEST = 0.2


class Full(Exception):
    """No more requests are taken for now.

    Args:
        seconds: When to ask again.
    """

    def __init__(self, seconds):
        super().__init__(f"ask again in {seconds} s")
        self.seconds = seconds


@dataclass(eq=False)
class _Waiting:
    """A request that waits: its version, its call, since when, and where the answer goes."""

    version: object
    call: object
    since: float = field(default_factory=time.monotonic)
    answer: Future = field(default_factory=Future)

    @property
    def key(self):
        """What two requests must have in common to be computed together."""
        return id(self.version), self.call.signature, self.call.size


class Batcher:
    """Computes calls, several at a time.

    A request that comes alone is computed at once. While one is computed others gather; and while others are being
    read, those that could be computed wait for them, `wait_ms` at most.

    Args:
        batch_size: Patches computed at once, at most.
        wait_ms: Milliseconds.
        capacity: Requests that are held at once; further ones are refused.
        told: Called with `(patches, seconds)` of each batch.

    Example:

    >>> from plankton_keras.predictors import Signature
    >>> from plankton_keras.serve.calls import Call
    >>> from types import SimpleNamespace
    >>> double = Signature({"image": ("uint8", (None, 1))}, ("sum", "float32", (None, 1)), lambda x: 2 * x)
    >>> with Batcher(batch_size=4, wait_ms=0, capacity=2) as batcher, batcher.place():
    ...     call = Call("double", "instances", (np.array([[3]]),), (1, 1))
    ...     batcher.submit(SimpleNamespace(signatures={"double": double}), call).result().tolist()
    [[6]]
    """

    def __init__(self, batch_size, wait_ms, capacity, told=lambda patches, seconds: None):
        self._batch_size, self._wait, self._capacity, self._told = batch_size, wait_ms / 1000, capacity, told
        self._changed = threading.Condition()
        self._queue, self._held, self._reading, self._closed = [], 0, 0, False
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._work, name="patches", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def held(self):
        """Number of requests that are held."""
        return self._held

    @contextlib.contextmanager
    def place(self):
        """Takes a place for a request, from its first byte to its last.

        Raises:
            Full: If there is none.
        """
        with self._changed:
            if self._held >= self._capacity:
                raise Full(max(1, math.ceil(self._held * self._seconds)))
            self._held += 1
        try:
            yield
        finally:
            with self._changed:
                self._held -= 1

    @contextlib.contextmanager
    def reading(self):
        """Says that a request is about to be submitted, which others then wait for."""
        with self._changed:
            self._reading += 1
        try:
            yield
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify_all()

    def submit(self, version, call):
        """Has a call computed.

        Args:
            version: The `versions.Version` that computes it.
            call: A `calls.Call`.

        Returns:
            A `concurrent.futures.Future` of the float32 array.
        """
        waiting = _Waiting(version, call)
        with self._changed:
            if self._closed:
                raise Full(1)
            self._queue.append(waiting)
            self._changed.notify_all()
        return waiting.answer

    def _work(self):
        while batch := self._next():
            started, rows = time.monotonic(), sum(each.call.rows for each in batch)
            self._compute(batch)
            seconds = time.monotonic() - started
            self._seconds += NEWEST * (seconds / len(batch) - self._seconds)
            self._told(rows, seconds)

    def _next(self):
        """Waits for requests and takes those that are computed together, at least one; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return []
            key, until = self._queue[0].key, self._queue[0].since + self._wait
            while self._reading and self._rows(key) < self._batch_size and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            taken, rows = [], 0
            for each in [each for each in self._queue if each.key == key]:
                if taken and rows + each.call.rows > self._batch_size:
                    break
                taken.append(each)
                rows += each.call.rows
            self._queue = [each for each in self._queue if each not in taken]
            return taken

    def _rows(self, key):
        return sum(each.call.rows for each in self._queue if each.key == key)

    def _compute(self, batch):
        """Computes requests together; if that fails each by itself, so that only the one to blame fails."""
        try:
            found = self._together(batch)
        except Exception as error:
            if len(batch) > 1:
                for each in batch:
                    self._compute([each])
                return
            if not isinstance(error, InputError):
                log.exception("A patch could not be computed")
            batch[0].answer.set_exception(error)
            return
        ends = list(itertools.accumulate(each.call.rows for each in batch))
        for each, end in zip(batch, ends, strict=True):
            each.answer.set_result(found[end - each.call.rows : end])

    def _together(self, batch):
        first = batch[0]
        compute = first.version.signatures[first.call.signature].compute
        columns = zip(*(each.call.inputs for each in batch), strict=True)
        inputs = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in columns]
        height, width = first.call.size
        step = max(1, min(self._batch_size, PIXELS // (height * width)))
        starts = range(0, len(inputs[0]), step)
        found = [compute(*(array[start : start + step] for array in inputs)) for start in starts]
        return found[0] if len(found) == 1 else np.concatenate(found)
