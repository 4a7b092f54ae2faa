"""Tensors in the JSON form of TensorFlow's protocol messages: `PredictRequest` and `PredictResponse`.

As google.protobuf's json_format writes them, with names in either spelling. The bytes of an array go through as they
are, in base64, so that this is also the quickest form.
"""

import base64
import binascii

import numpy as np

from plankton_keras.errors import InputError

# Of each type that an export takes or gives: its name, and the list of values that a message may have instead of bytes.
TYPES = {"uint8": ("DT_UINT8", "intVal"), "float32": ("DT_FLOAT", "floatVal"), "bytes": ("DT_STRING", "stringVal")}


def is_tensor(value):
    """Tells the JSON form of a `TensorProto` from other values."""
    return isinstance(value, dict) and "dtype" in value


def read_tensor(value, kind):
    """Reads a `TensorProto`.

    Args:
        value: Its JSON form, a dictionary.
        kind: `uint8`, `float32` or `bytes`.

    Returns:
        An array; of bytes it is one of objects.

    Raises:
        InputError: If it is of another type, or what it holds does not fill its shape.

    Example:

    >>> read_tensor({"dtype": "DT_UINT8", "tensorShape": {"dim": [{"size": "2"}]}, "tensorContent": "AQI="}, "uint8")
    array([1, 2], dtype=uint8)
    """
    name, values = TYPES[kind]
    if value["dtype"] != name:
        raise _bad(f"is of {value['dtype']!r}", name)
    try:
        shape = [int(side["size"]) for side in _either(value, "tensorShape", {}).get("dim", [])]
        content, given = _either(value, "tensorContent", ""), _either(value, values, [])
        if kind == "bytes":
            array = np.array([*map(decoded, given), None], object)[:-1]
        elif content:
            array = np.frombuffer(decoded(content), kind)
        else:
            array = _within(np.array(given), kind)
        if min(shape, default=0) < 0:
            raise ValueError
        # A message may leave out the values that repeat the last one.
        return np.broadcast_to(array, shape) if len(array) == 1 else array.reshape(shape)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise _bad("cannot be read", f"{values} or tensorContent that fill tensorShape") from None


def _within(array, kind):
    if kind == "uint8" and (array.dtype.kind not in "iu" or (len(array) and not 0 <= array.min() <= array.max() < 256)):
        raise ValueError
    return array.astype(kind)


def _either(value, name, default):
    """Gives a field by its name in JSON, or that in the .proto file."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return value.get(name, value.get(snake, default))


def _bad(found, expected):
    return InputError(f"A tensor {found}.", f"{expected}.", "see docs/serve.md.")


def decoded(text):
    """Decodes base64; anything else is a `ValueError`."""
    if not isinstance(text, str):
        raise ValueError("base64 is a text")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def asked_for(request):
    """Gives the signature that a `PredictRequest` names, "" if none."""
    spec = _either(request, "modelSpec", {})
    name = _either(spec, "signatureName", "") if isinstance(spec, dict) else ""
    return name if isinstance(name, str) else ""


def write_response(model, output, array):
    """Writes a `PredictResponse`.

    Args:
        model: `(name, version, signature)`.
        output: Name of the output.
        array: A float32 array.

    Returns:
        A dictionary for `json`.
    """
    name, version, signature = model
    tensor = {
        "dtype": TYPES["float32"][0],
        "tensorShape": {"dim": [{"size": str(side)} for side in array.shape]},
        "tensorContent": base64.b64encode(np.ascontiguousarray(array, "<f4")).decode(),
    }
    return {
        "outputs": {output: tensor},
        "modelSpec": {"name": name, "version": str(version), "signatureName": signature},
    }
