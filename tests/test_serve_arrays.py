"""Arrays to JSON and back: the quick way says what the general one says."""

import json

import numpy as np
import pytest

from plankton_keras.serve import arrays

SHAPES = [(1,), (3,), (1, 1), (2, 3), (4, 1), (1, 2, 3), (2, 1, 4, 1), (1, 5, 3, 2), (3, 64, 64, 1)]


def plain(found):
    """What was read, with lists for arrays."""
    if not isinstance(found, dict):
        return found
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in found.items()}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_whole_numbers_are_read_as_json_reads_them(shape, separators, key):
    expected = np.random.default_rng(sum(shape)).integers(0, 256, shape)
    text = json.dumps({"signature_name": "serving_default", key: expected.tolist()}, separators=separators).encode()
    found = arrays.parse(text)
    assert found["signature_name"] == "serving_default"
    assert found[key].dtype == np.uint8
    assert np.array_equal(found[key], expected)
    after = json.dumps({key: expected.tolist(), "signature_name": "a"}, separators=separators).encode()
    assert np.array_equal(arrays.parse(after)[key], expected)
    assert list(arrays.parse(json.dumps({key: expected.tolist()}).encode())) == [key]


@pytest.mark.parametrize(
    "text",
    [
        '{"instances": [[1, 2], [3]]}',
        '{"instances": [[1, 2], 3]}',
        '{"instances": [1, [2, 3]]}',
        '{"instances": [[[1]], [[2, 3]]]}',
        '{"instances": [[1, 2], [3, 4], [5, 6, 7], [8]]}',
        '{"instances": []}',
        '{"instances": [[], []]}',
        '{"instances": [256]}',
        '{"instances": [1000]}',
        '{"instances": [1.5, -2, 1e3]}',
        '{"instances": [0, 1, 10, 100, 255]}',
        '{"instances": [\n  [1, 2],\n  [3, 4]\n]}',
        '{"instances": [[1,  2], [3 , 4]]}',
        '{"instances": [[1], [2],\t[3]]}',
        '{"instances": [[[1], [2]], [[3], [4], [5]]]}',
        '{"instances": [1], "inputs": [2]}',
        '{"instances": [1], "other": 2}',
        '{"instances": 5}',
        "[1, 2]",
    ],
)
def test_everything_else_is_read_as_json_reads_it(text):
    assert plain(arrays.parse(text.encode())) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"instances": [1 2]}',
        '{"instances": [1, 2 3]}',
        '{"instances": [[1, 2], 3[, 4]]}',
        '{"instances": [[1, 2], [, 3]4]}',
        '{"instances": [[1, 2]5, [3]]}',
        '{"instances": [12, , 3]}',
        '{"instances": [01]}',
        '{"instances": [1,]}',
        '{"instances": [,1]}',
        '{"instances": [[1], [2]}',
        '{"instances": [[1]][[2]]}',
        '{"instances": [[1]], [[2]]}',
        '{"instances": [1]]}',
        '{"instances": [[1],, [2]]}',
        '{"instances": [1, 2}',
        '{"instances": [1] "signature_name": "a"}',
        '{"instances": [NaN]}',
        '{"instances": [Infinity]}',
        '{"instances": [1]}x',
        "",
    ],
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        arrays.parse(text.encode())


@pytest.mark.parametrize("seed", range(20))
def test_damaged_text_is_read_as_json_reads_it_or_not_at_all(seed):
    generator = np.random.default_rng(seed)
    text = bytearray(json.dumps({"instances": generator.integers(0, 256, (2, 3, 2)).tolist()}).encode())
    for _ in range(200):
        damaged = bytearray(text)
        damaged[generator.integers(len(text))] = generator.choice(list(b"[], 0159"))
        try:
            expected = json.loads(damaged)
        except ValueError:
            with pytest.raises(ValueError, match=r"."):
                arrays.parse(bytes(damaged))
        else:
            assert plain(arrays.parse(bytes(damaged))) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_probabilities_are_written_to_five_millionths(shape):
    array = np.random.default_rng(1).random(shape, dtype=np.float32)
    array.flat[0], array.flat[-1] = 0, 1
    found = np.array(json.loads(arrays.write(array)))
    assert found.shape == shape
    assert np.abs(found - array).max() <= 5.1e-6


def test_the_ends_and_what_rounds_to_them():
    array = np.array([0, 1e-6, 4.9e-6, 0.5, 0.009999, 0.99, 0.999996, 1], np.float32)
    assert arrays.write(array) == b"[0.00000,0.00000,0.00000,0.50000,0.01000,0.99000,1.00000,1.00000]"
