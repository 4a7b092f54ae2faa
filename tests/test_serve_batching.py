"""Batches, with fakes that count how they are called."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from plankton_keras.errors import InputError
from plankton_keras.predictors import Signature
from plankton_keras.serve.batching import Batcher, Full
from plankton_keras.serve.calls import Call


class Slow:
    """A version that adds one, waits to be let go, and notes the batches that it was given."""

    def __init__(self, bad=None):
        self.batches, self.go, self.began, self.bad = [], threading.Event(), threading.Event(), bad
        signature = Signature({"image": ("uint8", (None, 1))}, ("sum", "float32", (None, 1)), self.compute)
        self.signatures = {"a": signature, "b": signature}

    def compute(self, values):
        self.batches.append(values[:, 0].tolist())
        self.began.set()
        assert self.go.wait(10)
        if self.bad in values:
            raise InputError("bad.", "good.", "do good.")
        return values + 1.0


def call(*values, signature="a", size=(64, 64)):
    return Call(signature, "instances", (np.array(values)[:, None],), size)


def batcher(batch_size=4, wait_ms=0, capacity=10, **more):
    return Batcher(batch_size, wait_ms, capacity, **more)


def test_a_lone_request_is_computed_at_once():
    version = Slow()
    version.go.set()
    with batcher(wait_ms=1000) as made:
        started = time.monotonic()
        with made.reading():
            answer = made.submit(version, call(7))
        assert answer.result(5).tolist() == [[8]]
        assert time.monotonic() - started < 0.5


def test_what_comes_in_the_meantime_is_computed_together_and_answered_apart():
    version = Slow()
    with batcher() as made:
        first = made.submit(version, call(1))
        assert version.began.wait(5)
        others = [made.submit(version, call(*values)) for values in ((2,), (3, 4), (5,), (6, 7))]
        version.go.set()
        assert [answer.result(5)[:, 0].tolist() for answer in (first, *others)] == [[2], [3], [4, 5], [6], [7, 8]]
    assert version.batches == [[1], [2, 3, 4, 5], [6, 7]]


def test_only_like_requests_are_computed_together():
    version, other = Slow(), Slow()
    other.go.set()
    with batcher() as made:
        made.submit(version, call(1))
        assert version.began.wait(5)
        answers = [
            made.submit(version, call(2)),
            made.submit(version, call(3, signature="b")),
            made.submit(version, call(4, size=(64, 128))),
            made.submit(other, call(5)),
            made.submit(version, call(6)),
        ]
        version.go.set()
        assert [answer.result(5).item() for answer in answers] == [3, 4, 5, 6, 7]
    assert version.batches == [[1], [2, 6], [3], [4]]
    assert other.batches == [[5]]


def test_requests_that_are_being_read_are_waited_for_but_not_for_long():
    version = Slow()
    version.go.set()
    with batcher(wait_ms=300) as made:
        with made.reading():
            first = made.submit(version, call(1))
            time.sleep(0.05)
            second = made.submit(version, call(2))
        assert (first.result(5).item(), second.result(5).item()) == (2, 3)
        assert version.batches == [[1, 2]]
        with made.reading():
            started = time.monotonic()
            assert made.submit(version, call(3)).result(5).item() == 4
            assert time.monotonic() - started >= 0.29
        with made.reading():
            started = time.monotonic()
            made.submit(version, call(1, 2, 3, 4)).result(5)
            # A full batch has nothing to wait for.
            assert time.monotonic() - started < 0.2


def test_a_large_request_is_computed_in_parts():
    version, told = Slow(), []
    version.go.set()
    with batcher(batch_size=2, told=lambda patches, seconds: told.append(patches)) as made:
        assert made.submit(version, call(1, 2, 3, 4, 5)).result(5)[:, 0].tolist() == [2, 3, 4, 5, 6]
        # A patch of four megapixels fills a call by itself.
        assert made.submit(version, call(1, 2, size=(2048, 2048))).result(5)[:, 0].tolist() == [2, 3]
    assert version.batches == [[1, 2], [3, 4], [5], [1], [2]]
    assert told == [5, 2]


def test_only_the_request_that_is_to_blame_fails():
    version = Slow(bad=3)
    with batcher() as made:
        made.submit(version, call(1))
        assert version.began.wait(5)
        answers = [made.submit(version, call(value)) for value in (2, 3, 4)]
        version.go.set()
        assert [answers[0].result(5).item(), answers[2].result(5).item()] == [3, 5]
        with pytest.raises(InputError, match="bad"):
            answers[1].result(5)
        # And the thread goes on.
        assert made.submit(version, call(9)).result(5).item() == 10


def test_no_more_than_can_be_held():
    with batcher(capacity=2) as made:
        with made.place(), made.place():
            assert made.held == 2
            with pytest.raises(Full) as caught, made.place():
                pass
            assert caught.value.seconds >= 1
        with made.place():
            assert made.held == 1


def test_what_waits_at_the_end_is_answered():
    version = Slow()
    version.go.set()
    with batcher() as made:
        answers = [made.submit(version, call(value)) for value in range(6)]
    assert [answer.result(0).item() for answer in answers] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(Full):
        made.submit(SimpleNamespace(), call(1))
