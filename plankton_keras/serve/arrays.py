"""Large arrays to JSON and back in a few milliseconds, where a general parser takes longer than the network.

Only the two shapes of text that matter are quick; everything else goes through `json`, which also words what is wrong.
"""

import functools
import json
import re

import numpy as np

# A request whose one large value is whole numbers in brackets: what stands before them, and behind.
_BEFORE = re.compile(
    rb'\s*\{\s*(?:"signature_name"\s*:\s*"(?P<name>\w*)"\s*,\s*)?"(?P<key>instances|inputs)"\s*:\s*(?=\[)'
)
_BEHIND = re.compile(rb'\s*(?:,\s*"signature_name"\s*:\s*"(?P<name>\w*)"\s*)?\}\s*')
_FIGURES, _SPACES = b"0123456789", b" \n\r\t"
_OPEN, _CLOSE, _COMMA, _ZERO = b"[],0"
# Five decimals: five millionths off at most, and a number with its comma is a word of 8 bytes.
_DECIMALS = 100_000
_WORDS = np.array([f"{number // _DECIMALS}.{number % _DECIMALS:05d}," for number in range(_DECIMALS + 1)], "S8")


def parse(text):
    """Parses the JSON of a request.

    Args:
        text: Bytes.

    Returns:
        What `json.loads` gives; where a rectangular array of whole numbers from 0 to 255 is all that the request has
        beside its signature, it is a uint8 array.

    Raises:
        ValueError: If it is no JSON; NaN and infinity are none.

    Example:

    >>> parse(b'{"instances": [[[1], [22]], [[0], [255]]]}')["instances"].tolist()
    [[[1], [22]], [[0], [255]]]
    >>> parse(b'{"instances": [[1], [2, 3]], "signature_name": "a"}')
    {'instances': [[1], [2, 3]], 'signature_name': 'a'}
    """
    before = _BEFORE.match(text)
    end = text.rfind(b"]") + 1
    behind = _BEHIND.fullmatch(text, end)
    array = _rectangular(text[before.end() : end]) if before and behind else None
    if array is None:
        return json.loads(text, parse_constant=_no_number)
    name = before["name"] if before["name"] is not None else behind["name"]
    return {before["key"].decode(): array, **({} if name is None else {"signature_name": name.decode()})}


def _no_number(word):
    raise ValueError(f"{word} is no number in JSON")


def _rectangular(text):
    """Reads an array; None if it is anything but rectangular and of 0 to 255."""
    # Space is only known to part no number where it follows a comma.
    after_comma = text.count(b", ")
    spaced, text = len(text), text.translate(None, _SPACES)
    if spaced - len(text) != after_comma:
        return None
    brackets = text.translate(None, _FIGURES)
    shape = _shape(brackets)
    letters = np.frombuffer(text, np.uint8)
    # What is below 0 wraps around.
    figures = letters - np.uint8(_ZERO)
    digit = figures < 10
    # Where a number starts, and its last digit.
    starts = np.flatnonzero(digit[1:] > digit[:-1]) + 1
    ends = np.flatnonzero(digit[:-1] > digit[1:])
    lengths = ends - starts + 1
    # As many numbers as places for one, each between the marks that such a place has: then every place has one.
    if not shape or len(starts) != np.prod(shape) or brackets != _brackets(shape):
        return None
    placed = np.isin(letters[starts - 1], (_OPEN, _COMMA)) & np.isin(letters[ends + 1], (_CLOSE, _COMMA))
    if not placed.all() or lengths.max() > 3 or (figures[starts[lengths > 1]] == 0).any():
        return None
    values = figures[ends].astype(np.uint16)
    for place, power in ((1, 10), (2, 100)):
        # Where there is no such digit the letter before is none, and counts for nothing.
        before = figures[ends - place].astype(np.uint16)
        values += np.where(lengths > place, power * before, np.uint16(0)).astype(np.uint16)
    return None if values.max() > 255 else values.astype(np.uint8).reshape(shape)


def _shape(brackets):
    """Gives the shape that an array has if it is rectangular, from its brackets and commas; it may be none."""
    marks, sizes, length = np.frombuffer(brackets, np.uint8), [], 0
    for start in range(len(brackets) - len(brackets.lstrip(b"[")), 0, -1):
        # What stands behind each entry of the first list of this level, all entries being as long as the first.
        behind = marks[start + length :: length + 1] != _COMMA
        sizes.append(int(behind.argmax()) + 1 if len(behind) else 0)
        length = sizes[-1] * (length + 1) + 1
    return tuple(reversed(sizes))


@functools.lru_cache(maxsize=8)
def _brackets(shape):
    """Gives brackets and commas of an array of a shape."""
    text = b""
    for size in reversed(shape):
        text = b"[" + ((text + b",") * size)[:-1] + b"]"
    return text


def write(array):
    """Writes probabilities as JSON.

    Args:
        array: float32 of any shape without a side of 0, values from 0 to 1.

    Returns:
        Bytes; each number has five decimals.

    Example:

    >>> write(np.array([[0.25, 0.75], [1, 0]], np.float32))
    b'[[0.25000,0.75000],[1.00000,0.00000]]'
    """
    numbers = _WORDS.take(np.rint(array * np.float32(_DECIMALS)).astype(np.intp))
    sizes = [numbers.itemsize]
    for count in reversed(array.shape):
        sizes.append(count * sizes[-1] + 2)
    text = np.empty(sizes[-1], np.uint8)
    # Each list begins with a bracket, and ends with one over the comma of its last entry and a comma of its own.
    lists = [text]
    for count, size in zip(array.shape, reversed(sizes[:-1]), strict=True):
        lists.append(lists[-1][..., 1:-1].reshape(*lists[-1].shape[:-1], count, size))
    lists.pop().view(numbers.dtype)[..., 0] = numbers
    for each in reversed(lists):
        each[..., 0], each[..., -2], each[..., -1] = _OPEN, _CLOSE, _COMMA
    return text[:-1].tobytes()
