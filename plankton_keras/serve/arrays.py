"""Large arrays to JSON and back in a few milliseconds, where a general parser takes longer than the network.

Only the two shapes of text that matter are quick; everything else goes through `json`, which also words what is wrong.
"""

import itertools
import json
import re

import numpy as np

# A request whose one large value is whole numbers in brackets.
_QUICK = re.compile(
    rb'\s*\{\s*(?:"signature_name"\s*:\s*"(?P<first>\w*)"\s*,\s*)?'
    rb'"(?P<key>instances|inputs)"\s*:\s*(?P<array>\[[][\d,\s]*\])\s*'
    rb'(?:,\s*"signature_name"\s*:\s*"(?P<last>\w*)"\s*)?\}\s*'
)
_OPEN, _CLOSE, _COMMA, _ZERO, _SPACE = b"[],0 "
_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
# Six decimals: half a millionth off, where five hundred thousandths would do, and every number takes as many bytes.
_DECIMALS = 1_000_000
_HEAD = np.array([f"{number // 100}.{number % 100:02d}" for number in range(101)], "S4").view(np.uint32)
_TAIL = np.array([f"{number:04d}" for number in range(10_000)], "S4").view(np.uint32)


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
    found = _QUICK.fullmatch(text)
    array = _rectangular(found["array"]) if found else None
    if array is None:
        return json.loads(text, parse_constant=_no_number)
    name = found["first"] if found["first"] is not None else found["last"]
    return {found["key"].decode(): array, **({} if name is None else {"signature_name": name.decode()})}


def _no_number(word):
    raise ValueError(f"{word} is no number in JSON")


def _rectangular(text):
    """Reads an array; None if it is anything but rectangular and of 0 to 255."""
    letters = np.frombuffer(text, np.uint8)
    # What is below 0 wraps around.
    figures = letters - np.uint8(_ZERO)
    digit = figures < 10
    # Where a number starts and ends.
    first = digit[1:] > digit[:-1]
    ends = np.flatnonzero(digit[:-1] > digit[1:])
    starts = np.flatnonzero(first) + 1
    lengths = ends - starts + 1
    if not len(starts) or lengths.max() > 3 or (figures[starts[lengths > 1]] == 0).any():
        return None
    # Brackets, commas and the first digit of each number, without space.
    keep = letters > _SPACE
    keep &= ~digit
    keep[1:] |= first
    shape = _shape(letters[keep].tobytes().translate(_TO_ZERO))
    values = figures[ends].astype(np.uint16)
    for place, power in ((1, 10), (2, 100)):
        # Where there is no such digit the letter before is none, and counts for nothing.
        before = figures[ends - place].astype(np.uint16)
        values += np.where(lengths > place, power * before, np.uint16(0)).astype(np.uint16)
    return None if shape is None or values.max() > 255 else values.astype(np.uint8).reshape(shape)


def _shape(skeleton):
    """Gives the shape of an array whose numbers are all written as 0; None if it has none."""
    depth = len(skeleton) - len(skeleton.lstrip(b"["))
    counts = []
    for level in range(1, depth + 1):
        end = skeleton.find(b"]" * level)
        counts.append(skeleton.count(b"0", 0, end) if end >= 0 else 0)
    if 0 in counts or any(outer % inner for inner, outer in itertools.pairwise(counts)):
        return None
    sizes = [counts[0], *(outer // inner for inner, outer in itertools.pairwise(counts))][::-1]
    if counts[-1] != skeleton.count(b"0"):
        return None
    text = b"0"
    for size in reversed(sizes):
        text = b"[" + ((text + b",") * size)[:-1] + b"]"
    return sizes if text == skeleton else None


def _bracketed(text):
    """Joins the text of numbers to that of nested lists.

    Args:
        text: uint8 `(..., bytes of a number)`, each of which ends in a comma.

    Returns:
        Bytes.
    """
    while text.ndim > 1:
        *outer, count, size = text.shape
        joined = np.empty((*outer, count * size + 2), np.uint8)
        joined[..., 0] = _OPEN
        joined[..., 1:-1] = text.reshape(*outer, count * size)
        # Over the comma of the last one.
        joined[..., -2] = _CLOSE
        joined[..., -1] = _COMMA
        text = joined
    return text[:-1].tobytes()


def write(array):
    """Writes probabilities as JSON.

    Args:
        array: float32 of any shape without a side of 0, values from 0 to 1.

    Returns:
        Bytes; each number has six decimals.

    Example:

    >>> write(np.array([[0.25, 0.75], [1, 0]], np.float32))
    b'[[0.250000,0.750000],[1.000000,0.000000]]'
    """
    millionths = np.rint(array * np.float32(_DECIMALS)).astype(np.uint32)
    heads = millionths // 10_000
    words = np.empty((*array.shape, 2), np.uint32)
    words[..., 0] = _HEAD[heads]
    words[..., 1] = _TAIL[millionths - heads * np.uint32(10_000)]
    text = np.empty((*array.shape, 9), np.uint8)
    text[..., :8] = words.view(np.uint8)
    text[..., 8] = _COMMA
    return _bracketed(text)
