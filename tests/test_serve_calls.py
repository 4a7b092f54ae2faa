"""Requests in all forms of TensorFlow Serving, and what is wrong with those that are refused."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from patch_service import b64, patch, png, version
from PIL import Image

from plankton_keras.errors import InputError
from plankton_keras.serve import calls
from plankton_keras.serve.calls import read_call, write_answer

SIGNATURES = version().signatures
IMAGES = patch(count=2)
FILES = [png(image) for image in IMAGES]
SIDES = [[20.5], [900]]
TENSOR = {"dtype": "DT_UINT8", "tensorShape": {"dim": [{"size": str(side)} for side in IMAGES.shape]}}


def read(request, megapixels=1):
    return read_call(request if isinstance(request, bytes) else json.dumps(request).encode(), SIGNATURES, megapixels)


@pytest.mark.parametrize(
    ("request_", "form"),
    [
        ({"instances": IMAGES.tolist()}, "instances"),
        ({"instances": IMAGES.tolist(), "signature_name": "serving_default"}, "instances"),
        ({"instances": [{"image": image.tolist()} for image in IMAGES]}, "instances"),
        ({"inputs": IMAGES.tolist()}, "inputs"),
        ({"inputs": {"image": IMAGES.tolist()}}, "inputs"),
        ({"inputs": {"image": {**TENSOR, "tensorContent": b64(IMAGES.tobytes())["b64"]}}}, "message"),
        ({"inputs": {"image": {**TENSOR, "intVal": IMAGES.ravel().tolist()}}}, "message"),
        (
            {
                "model_spec": {"name": "plankton", "signature_name": "serving_default"},
                "inputs": {
                    "image": {
                        "dtype": "DT_UINT8",
                        "tensor_shape": TENSOR["tensorShape"],
                        "tensor_content": b64(IMAGES.tobytes())["b64"],
                    }
                },
            },
            "message",
        ),
    ],
)
def test_arrays_are_read_from_every_form(request_, form):
    call = read(request_)
    assert (call.signature, call.form, call.rows, call.size) == ("serving_default", form, 2, (64, 64))
    assert call.inputs[0].dtype == np.uint8
    assert np.array_equal(call.inputs[0], IMAGES)


@pytest.mark.parametrize(
    "content",
    [
        {"instances": [b64(data) for data in FILES]},
        {"instances": [{"image_bytes": b64(data)} for data in FILES]},
        {"inputs": [b64(data) for data in FILES]},
        {"inputs": {"image_bytes": [b64(data) for data in FILES]}},
        {
            "inputs": {
                "image_bytes": {
                    "dtype": "DT_STRING",
                    "tensorShape": {"dim": [{"size": "2"}]},
                    "stringVal": [b64(data)["b64"] for data in FILES],
                }
            }
        },
    ],
)
def test_files_are_read_from_every_form(content):
    call = read({"signature_name": "serving_bytes", **content})
    assert (call.signature, call.rows, call.size) == ("serving_bytes", 2, (64, 64))
    assert call.inputs[0].tolist() == FILES


@pytest.mark.parametrize(
    "content",
    [
        {"instances": [{"image": i.tolist(), "side": s} for i, s in zip(IMAGES, SIDES, strict=True)]},
        {"inputs": {"side": SIDES, "image": IMAGES.tolist()}},
    ],
)
def test_several_inputs_come_in_the_order_of_the_signature(content):
    call = read({"signature_name": "serving_vignettes", **content})
    assert np.array_equal(call.inputs[0], IMAGES)
    assert call.inputs[1].tolist() == SIDES
    assert call.inputs[1].dtype == np.float32


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_the_size_of_a_file_is_read_from_its_header(kind):
    data = io.BytesIO()
    Image.new("L", (128, 64)).save(data, kind)
    assert read({"signature_name": "serving_bytes", "instances": [b64(data.getvalue())]}).size == (64, 128)


def test_a_file_that_is_claimed_a_million_times_is_looked_at_once(monkeypatch):
    looked = []
    monkeypatch.setattr(calls, "claimed_size", lambda data: looked.append(data) or (64, 64))
    tensor = {"dtype": "DT_STRING", "tensorShape": {"dim": [{"size": "1000000"}]}, "stringVal": [b64(FILES[0])["b64"]]}
    with pytest.raises(InputError, match="1000000 patches of 64 x 64 pixels are asked for"):
        read({"signature_name": "serving_bytes", "inputs": {"image_bytes": tensor}})
    assert looked == [FILES[0]]


def of_file(data):
    return {"signature_name": "serving_bytes", "instances": [b64(data)]}


def claiming(width, height):
    """A PNG that says that it is larger."""
    data = bytearray(FILES[0])
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data[:29]) + zlib.crc32(data[12:29]).to_bytes(4, "big") + bytes(data[33:])


def animated():
    """A PNG of two images."""
    data = io.BytesIO()
    Image.new("L", (64, 64)).save(data, "png", save_all=True, append_images=[Image.new("L", (64, 64), 9)])
    return data.getvalue()


GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEKAAAALAAAAAABAAEAAAICRAEAOw==")

REFUSED = [
    (b"", "JSON Parse error: Expecting value: line 1 column 1 (char 0)."),
    (b"[" * 100_000, "JSON Parse error: "),
    (b'{"instances": [NaN]}', "JSON Parse error: NaN is no number in JSON."),
    (b"[]", "Missing 'inputs' or 'instances' key."),
    ({}, "Missing 'inputs' or 'instances' key."),
    ({"inputs": 1, "instances": 1}, "Missing 'inputs' or 'instances' key."),
    ({"instances": [1], "signature_name": "x"}, 'Serving signature name: "x" not found in signature def.'),
    ({"instances": [1], "signature_name": ["x"]}, "Serving signature name: \"['x']\" not found in signature def."),
    ({"instances": []}, "image holds other things than numbers."),
    ({"instances": "abc"}, "image holds other things than numbers."),
    ({"instances": None}, "image holds other things than numbers."),
    ({"instances": [[1], [1, 2]]}, "image is ragged."),
    ({"instances": [[[[True]]]]}, "image holds other things than numbers."),
    ({"instances": [[[["1"]]]]}, "image holds other things than numbers."),
    ({"instances": [[[[256]]]]}, "image has other values."),
    ({"instances": [[[[-1]]]]}, "image has other values."),
    ({"instances": [[[[0.5]]]]}, "image has other values."),
    ({"instances": [[[[10**40]]]]}, "image holds other things than numbers."),
    ({"instances": IMAGES[..., 0].tolist()}, "image has the shape 2 x 64 x 64."),
    ({"instances": np.zeros((1, 64, 64, 3), int).tolist()}, "image has the shape 1 x 64 x 64 x 3."),
    ({"instances": np.zeros((1, 64, 100, 1), int).tolist()}, "The patches have 100 x 64 pixels."),
    ({"instances": [{"other": 1}]}, "The inputs are 'other'."),
    ({"instances": [{"image": 1}, {"side": 1}]}, "The instances name different inputs."),
    ({"instances": [{"image": 1}, 2]}, "The instances name different inputs."),
    ({"inputs": {"image": [1], "more": [2]}}, "The inputs are 'image', 'more'."),
    ({"instances": [b64(FILES[0])]}, "image holds other things than numbers."),
    ({"signature_name": "serving_bytes", "instances": ["abc"]}, "image_bytes cannot be read."),
    ({"signature_name": "serving_bytes", "instances": [{"b64": "!"}]}, "image_bytes cannot be read."),
    ({"signature_name": "serving_bytes", "instances": [{"b64": 3}]}, "image_bytes cannot be read."),
    (of_file(b"P5 1 1 255 0"), "An image cannot be read: cannot identify image file."),
    (of_file(FILES[0][:20]), "An image cannot be read: "),
    (of_file(GIF), "An image cannot be read: cannot identify image file."),
    (of_file(animated()), "An image cannot be read: it holds 2 images."),
    (of_file(claiming(64_000, 64_000)), "1 patches of 64000 x 64000 pixels are asked for."),
    (of_file(claiming(2**31 - 64, 64)), "1 patches of 2147483584 x 64 pixels are asked for."),
    (
        {"signature_name": "serving_bytes", "instances": [b64(FILES[0]), b64(png(np.zeros((128, 64), np.uint8)))]},
        "The images have 2 sizes.",
    ),
    ({"signature_name": "serving_vignettes", "instances": [1]}, "The values name no input."),
    (
        {"signature_name": "serving_vignettes", "inputs": {"image": IMAGES.tolist(), "side": [[1]]}},
        "The inputs have [1, 2] rows.",
    ),
    ({"inputs": {"image": {**TENSOR, "dtype": "DT_FLOAT"}}}, "A tensor is of 'DT_FLOAT'."),
    ({"inputs": {"image": {**TENSOR, "tensorContent": "AAAA"}}}, "A tensor cannot be read."),
    ({"inputs": {"image": {**TENSOR, "tensorContent": "!"}}}, "A tensor cannot be read."),
    ({"inputs": {"image": {**TENSOR, "intVal": [300]}}}, "A tensor cannot be read."),
    ({"inputs": {"image": {"dtype": "DT_UINT8", "tensorShape": 3}}}, "A tensor cannot be read."),
    (
        {"inputs": {"image": {"dtype": "DT_UINT8", "intVal": [1], "tensorShape": {"dim": [{"size": -1}] * 4}}}},
        "A tensor cannot be read.",
    ),
    (
        # A terabyte, of one value.
        {
            "inputs": {
                "image": {
                    "dtype": "DT_UINT8",
                    "intVal": [1],
                    "tensorShape": {"dim": [{"size": size} for size in (1, 2**20, 2**20, 1)]},
                }
            }
        },
        "The inputs have too many values.",
    ),
    (
        {"signature_name": "serving_vignettes", "inputs": {"image": IMAGES.tolist(), "side": [[1], [1e999]]}},
        "JSON Parse error: Infinity is no number in JSON.",
    ),
]


@pytest.mark.parametrize(("request_", "what"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_not_fit_is_refused_and_says_why(request_, what):
    with pytest.raises(InputError) as caught:
        read(request_)
    assert caught.value.what.startswith(what)
    assert caught.value.what.endswith(".")


def test_a_number_too_large_for_a_float_is_refused():
    text = json.dumps(
        {"signature_name": "serving_vignettes", "inputs": {"image": IMAGES.tolist(), "side": [[1], [777]]}}
    )
    with pytest.raises(InputError, match=r"The inputs have values that are not finite\."):
        read(text.replace("[777]", "[1e999]").encode())


def test_pixels_are_counted_over_all_patches():
    assert read({"instances": IMAGES.tolist()}, megapixels=0.0082).rows == 2
    with pytest.raises(InputError) as caught:
        read({"instances": IMAGES.tolist()}, megapixels=0.0081)
    assert caught.value.what == "The inputs have too many values."
    with pytest.raises(InputError) as caught:
        read({"signature_name": "serving_bytes", "instances": [b64(data) for data in FILES]}, megapixels=0.0081)
    assert str(caught.value) == (
        "2 patches of 64 x 64 pixels are asked for.\nExpected: at most 0.0081 megapixels.\nFix: see docs/serve.md."
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"instances": [[[[0]] * 64] * 64]}, b'{"predictions":[[0.25000,0.75000]]}'),
        ({"inputs": [[[[0]] * 64] * 64]}, b'{"outputs":[[0.25000,0.75000]]}'),
    ],
)
def test_answers_have_the_form_of_the_request(request_, expected):
    array = np.array([[0.25, 0.75]], np.float32)
    assert write_answer(read(request_), version(), "plankton", array) == expected


def test_a_message_is_answered_by_a_message():
    call = read({"inputs": {"image": {**TENSOR, "tensorContent": b64(IMAGES.tobytes())["b64"]}}})
    array = np.array([[0.25, 0.75]], np.float32)
    assert json.loads(write_answer(call, version(3), "plankton", array)) == {
        "outputs": {
            "probabilities": {
                "dtype": "DT_FLOAT",
                "tensorShape": {"dim": [{"size": "1"}, {"size": "2"}]},
                "tensorContent": b64(array.tobytes())["b64"],
            }
        },
        "modelSpec": {"name": "plankton", "version": "3", "signatureName": "serving_default"},
    }
