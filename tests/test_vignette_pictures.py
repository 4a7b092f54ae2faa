"""vignette_pictures: drawn as ZooProcess draws them, and cut back to the object."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from plankton_keras.vignette_pictures import BAR, FOOTER, KEYWORD, cut_to_object, encode_picture, vignette
from plankton_keras.vignettes import read_vignette


def noise(height, width):
    return np.random.default_rng(0).integers(0, 250, (height, width)).astype(np.uint8)


def decoded(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_around_the_box_of_the_mask_is_a_fifth_of_white_and_so_is_what_is_beside_the_object():
    gray, mask = noise(40, 60), np.zeros((40, 60), bool)
    mask[5:25, 10:50] = True
    mask[5:10, 10:15] = False
    picture = vignette(gray, mask)
    # 20 x 40 and 4 or 8 on each side.
    assert (picture.pixels.shape, picture.box) == ((28, 56), (4, 8, 20, 40))
    inside = picture.pixels[4:24, 8:48]
    assert (inside[mask[5:25, 10:50]] == gray[mask]).all()
    assert (inside[:5, :5] == 255).all()
    border = np.ones(picture.pixels.shape, bool)
    border[4:24, 8:48] = False
    assert (picture.pixels[border] == 255).all()


@pytest.mark.parametrize(("dpi", "bar"), [(2400, 94), (4800, 189), (600, 24)])
def test_the_bar_is_as_long_as_a_millimetre(dpi, bar):
    picture = vignette(noise(300, 300), np.ones((300, 300)), 25.4 / dpi)
    assert picture.pixels.shape == (420 + FOOTER, 420)
    rows, columns = np.nonzero(picture.pixels[-FOOTER:] == BAR)
    assert (rows.min(), rows.max(), columns.min()) == (FOOTER - 6, FOOTER - 5, 10)
    assert (picture.pixels[-5] == BAR).sum() == bar
    # Above the bar its length is said; nothing reaches into the picture itself.
    assert (picture.pixels[-FOOTER:-7, 10:60] < 128).any()
    assert (picture.pixels[420:424] == 255).all()


def test_a_speck_is_framed_widely_enough_for_the_bar():
    picture = vignette(noise(4, 4), np.ones((4, 4)), 25.4 / 2400)
    assert picture.pixels.shape == (6 + FOOTER, 94 + 20)
    assert picture.pixels[1:5, 55:59].tolist() == noise(4, 4).tolist()


@pytest.mark.parametrize("pixel_mm", [None, 25.4 / 2400, 25.4 / 300])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (7, 90), (33, 12)])
def test_a_picture_comes_back_as_the_object_alone(shape, pixel_mm, tmp_path):
    content = encode_picture(vignette(noise(*shape), np.ones(shape), pixel_mm))
    assert decoded(content).dtype == np.uint8
    assert (cut_to_object(decoded(content), content) == noise(*shape)).all()
    (tmp_path / "a.png").write_bytes(content)
    assert (read_vignette(tmp_path / "a.png") == noise(*shape)).all()


def test_the_same_picture_has_the_same_bytes():
    picture = vignette(noise(20, 20), np.ones((20, 20)), 0.01)
    assert encode_picture(picture) == encode_picture(picture)


@pytest.mark.parametrize("text", ["", "1 2 3", "0 0 99 99", "-1 0 2 2", "0 0 0 4"])
def test_a_box_that_cannot_be_is_passed_over(text):
    from PIL.PngImagePlugin import PngInfo

    said, file = PngInfo(), io.BytesIO()
    said.add_text(KEYWORD, text)
    Image.fromarray(noise(8, 8)).save(file, "PNG", pnginfo=said)
    assert (cut_to_object(noise(8, 8), file.getvalue()) == noise(8, 8)).all()


def test_pictures_of_others_are_left_as_they_are():
    jpeg = cv2.imencode(".jpg", noise(30, 30))[1].tobytes()
    png = cv2.imencode(".png", noise(30, 30))[1].tobytes()
    for content in (jpeg, png, jpeg + KEYWORD.encode()):
        assert cut_to_object(noise(30, 30), content).shape == (30, 30)
