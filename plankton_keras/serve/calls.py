"""A request for patches, in any of the forms of TensorFlow Serving, checked and made the arrays of a signature."""

import json
from dataclasses import dataclass

import numpy as np

from plankton_keras.config import STRIDE
from plankton_keras.errors import InputError
from plankton_keras.serve import arrays
from plankton_keras.serve.claims import claimed_size
from plankton_keras.serve.messages import asked_for, decoded, is_tensor, read_tensor, write_response

DEFAULT = "serving_default"


@dataclass(frozen=True)
class Call:
    """What is to be computed.

    Attributes:
        signature: Name of the signature.
        form: How it was asked, and is answered: `instances`, `inputs` or `message`.
        inputs: The arrays, in the order of the signature; the first side of each is the number of patches.
        size: Height and width of each patch in pixels.
    """

    signature: str
    form: str
    inputs: tuple
    size: tuple

    @property
    def rows(self):
        """Number of patches."""
        return len(self.inputs[0])


def read_call(body, signatures, megapixels):
    """Reads the body of a request.

    Args:
        body: Bytes.
        signatures: `predictors.Signature` by name.
        megapixels: How many pixels its patches may have together, in millions.

    Returns:
        A `Call`.

    Raises:
        InputError: If it is no JSON, lacks something, or does not fit the signature.
    """
    try:
        request = arrays.parse(body)
    except (ValueError, RecursionError) as error:
        raise _bad(f"JSON Parse error: {error}", "a JSON object") from None
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise _bad("Missing 'inputs' or 'instances' key", "one of them in a JSON object")
    name = request.get("signature_name") or asked_for(request) or DEFAULT
    signature = signatures.get(name) if isinstance(name, str) else None
    if signature is None:
        raise _bad(f'Serving signature name: "{name}" not found in signature def', f"one of {', '.join(signatures)}")
    form, columns = _columns(request, signature)
    given = {key: _array(key, columns[key], *told) for key, told in signature.inputs.items()}
    # Before anything touches the values: a message can claim a large shape with a single one.
    if any(array.size > megapixels * 1e6 for array in given.values()):
        raise _bad("The inputs have too many values", f"at most {megapixels:g} million")
    if not all(array.dtype != np.float32 or np.isfinite(array).all() for array in given.values()):
        raise _bad("The inputs have values that are not finite", "numbers")
    counts = {len(array) for array in given.values()}
    if len(counts) > 1 or 0 in counts:
        raise _bad(f"The inputs have {sorted(counts)} rows", "as many of each, at least one")
    size = _size(given, signature)
    rows = counts.pop()
    if rows * size[0] * size[1] > megapixels * 1e6:
        raise _bad(
            f"{rows} patches of {size[1]} x {size[0]} pixels are asked for", f"at most {megapixels:g} megapixels"
        )
    return Call(name, form, tuple(given.values()), size)


def _columns(request, signature):
    """Gathers the values of each input.

    Returns:
        `(form, values by input)`.
    """
    form = "instances" if "instances" in request else "inputs"
    value, names = request[form], list(signature.inputs)
    if form == "instances" and isinstance(value, list) and value and _names_inputs(value[0]):
        if not all(_names_inputs(row) and set(row) == set(value[0]) for row in value):
            raise _bad("The instances name different inputs", "the same in each")
        value = {key: [row[key] for row in value] for key in value[0]}
    if not isinstance(value, dict) or "b64" in value:
        if len(names) > 1:
            raise _bad("The values name no input", f"an object with {' and '.join(names)}")
        return form, {names[0]: value}
    if set(value) != set(names):
        raise _bad(f"The inputs are {', '.join(map(repr, value))}", f"{' and '.join(map(repr, names))}")
    return "message" if any(map(is_tensor, value.values())) else form, value


def _names_inputs(row):
    return isinstance(row, dict) and set(row) != {"b64"}


def _array(name, value, kind, shape):
    """Makes the array of an input and checks type, range and shape."""
    if is_tensor(value):
        array = read_tensor(value, kind)
    elif kind == "bytes":
        array = _images(name, value)
    else:
        array = value if isinstance(value, np.ndarray) else _numbers(name, value)
        if kind == "uint8" and (
            array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() <= 255)
        ):
            raise _bad(f"{name} has other values", "whole numbers from 0 to 255")
        array = array.astype(kind)
    if len(array.shape) != len(shape) or any(
        want not in (None, has) for want, has in zip(shape, array.shape, strict=True)
    ):
        wanted = " x ".join("any" if side is None else str(side) for side in shape)
        raise _bad(f"{name} has the shape {' x '.join(map(str, array.shape)) or 'of a number'}", wanted)
    return array


def _numbers(name, value):
    """Makes an array of nested lists of numbers."""
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        raise _bad(f"{name} is ragged", "lists of one length at each level") from None
    if array.dtype.kind not in "iuf" or not array.size:
        raise _bad(f"{name} holds other things than numbers", "nested lists of numbers")
    return array


def _images(name, value):
    """Makes an array of bytes of a list of {"b64": text}."""
    try:
        found = [decoded(item["b64"]) for item in value]
    except (KeyError, TypeError, ValueError):
        raise _bad(f"{name} cannot be read", 'a list of {"b64": BASE64} objects') from None
    # With an empty place, or NumPy would make it an array of text.
    return np.array([*found, None], object)[:-1]


def _size(given, signature):
    """Gives height and width of the patches, from the headers of those that are encoded."""
    sizes = set()
    for name, (kind, shape) in signature.inputs.items():
        if kind == "bytes":
            # Each once: a message can claim a million rows with a single file.
            sizes |= {claimed_size(data) for data in set(given[name].tolist())}
        elif len(shape) == 4:
            sizes.add(given[name].shape[1:3])
    if len(sizes) != 1:
        raise _bad(f"The images have {len(sizes)} sizes", "one size")
    height, width = sizes.pop()
    # What gives an answer for each pixel halves its input and doubles it again.
    step = STRIDE if len(signature.output[2]) == 4 else 1
    if height % step or width % step or not height * width:
        raise _bad(f"The patches have {width} x {height} pixels", f"multiples of {step}")
    return height, width


def _bad(what, expected):
    return InputError(f"{what}.", f"{expected}.", "see docs/serve.md.")


def write_answer(call, version, name, array):
    """Writes the answer in the form of the request.

    Args:
        call: The `Call`.
        version: The `versions.Version` that computed it.
        name: Name of the model.
        array: float32, a patch a row, values from 0 to 1.

    Returns:
        Bytes of JSON.
    """
    if call.form == "message":
        output = version.signatures[call.signature].output[0]
        return json.dumps(write_response((name, version.number, call.signature), output, array)).encode()
    word = b"predictions" if call.form == "instances" else b"outputs"
    return b'{"%s":%s}' % (word, arrays.write(array))
