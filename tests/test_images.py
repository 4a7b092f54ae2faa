import os
import subprocess
import sys
import tracemalloc

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from plankton_keras.errors import InputError
from plankton_keras.images import open_image
from plankton_keras.tiles import Window

GRAY = np.random.default_rng(0).integers(0, 256, (150, 211), dtype=np.uint8)
GRAY16 = np.random.default_rng(1).integers(0, 65536, (150, 211), dtype=np.uint16)
COLOUR = np.random.default_rng(2).integers(0, 256, (150, 211, 3), dtype=np.uint8)
WINDOWS = [Window(0, 0, 150, 211), Window(0, 0, 1, 1), Window(149, 210, 1, 1), Window(37, 64, 90, 100)]


def netpbm(path, array):
    kind = b"P6" if array.ndim == 3 else b"P5"
    head = kind + f" {array.shape[1]} {array.shape[0]} {65535 if array.dtype == np.uint16 else 255}\n".encode()
    path.write_bytes(head + array.astype(array.dtype.newbyteorder(">")).tobytes())


def by_opencv(path, array):
    cv2.imwrite(str(path), array if array.ndim == 2 else array[..., ::-1])


def by_pillow(path, array):
    PillowImage.fromarray(array).save(path)


def tiff(**options):
    return lambda path, array: tifffile.imwrite(path, array, **options)


WRITERS = {
    "a.ppm": (netpbm, [GRAY, GRAY16, COLOUR]),
    "a.png": (by_opencv, [GRAY, GRAY16, COLOUR]),
    "a.bmp": (by_opencv, [GRAY, COLOUR]),
    "a.gif": (by_pillow, [GRAY]),
    "plain.tif": (tiff(), [GRAY, GRAY16, COLOUR]),
    "big-endian.tif": (tiff(byteorder=">"), [GRAY16]),
    "bigtiff.tif": (tiff(bigtiff=True), [GRAY, GRAY16]),
    "strips.tif": (tiff(rowsperstrip=7), [GRAY, GRAY16]),
    "deflate.tif": (tiff(compression="zlib", rowsperstrip=16), [GRAY, GRAY16, COLOUR]),
    "lzw.tif": (tiff(compression="lzw", predictor=True, rowsperstrip=16), [GRAY, GRAY16]),
    "tiles.tif": (tiff(tile=(64, 32)), [GRAY, GRAY16]),
    "lzw-tiles.tif": (tiff(tile=(64, 32), compression="lzw"), [GRAY, GRAY16, COLOUR]),
}
CASES = [(name, write, array) for name, (write, arrays) in WRITERS.items() for array in arrays]


@pytest.mark.parametrize(("name", "write", "array"), CASES, ids=[f"{n}-{a.dtype}-{a.ndim}d" for n, _, a in CASES])
def test_windows_of_every_format_are_those_of_the_array(tmp_path, name, write, array):
    write(tmp_path / name, array)
    with open_image(tmp_path / name) as image:
        assert (image.height, image.width, image.dtype) == (150, 211, array.dtype)
        for window in WINDOWS:
            read = image.read(window)
            assert read.dtype == array.dtype
            assert read.dtype.isnative
            assert np.array_equal(read, array[window.slices])


def test_jpeg_is_read_nearly_as_written(tmp_path):
    smooth = cv2.GaussianBlur(GRAY, (0, 0), 9)
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth, (cv2.IMWRITE_JPEG_QUALITY, 95))
    with open_image(tmp_path / "a.jpg") as image:
        assert np.abs(image.read(WINDOWS[0]).astype(int) - smooth).max() <= 4


@pytest.mark.parametrize(("shapes", "is_said"), [([(60, 80)] * 2, True), ([(60, 80), (30, 40)], False)])
def test_a_tiff_of_several_scans_is_said_and_a_smaller_copy_in_it_is_not(tmp_path, caplog, shapes, is_said):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for value, shape in enumerate(shapes):
            file.write(np.full(shape, value, np.uint8), contiguous=False)
    with open_image(tmp_path / "a.tif") as image:
        assert not image.read(Window(0, 0, 60, 80)).any()
    assert (f"{tmp_path / 'a.tif'} has several pages: only the first is read" in caplog.text) == is_said


def test_the_format_is_told_from_the_content(tmp_path):
    by_opencv(tmp_path / "a.png", GRAY)
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    with open_image(tmp_path / "a.tif") as image:
        assert image.format == "png"


@pytest.mark.parametrize(
    "head",
    [b"P5\n3 2\n255\n", b"P5 3 2 255 ", b"P5\n# one\n#two\n3 # three\n2\n# four\n255\n", b"P5\t3\r\n2\n255\n"],
)
def test_netpbm_headers_with_comments_and_blanks(tmp_path, head):
    # After the maximum exactly one blank ends the header, so that a pixel of value 32 or 35 is a pixel.
    pixels = bytes([35, 32, 10, 4, 5, 6])
    (tmp_path / "a.ppm").write_bytes(head + pixels)
    with open_image(tmp_path / "a.ppm") as image:
        assert image.read(Window(0, 0, 2, 3)).tobytes() == pixels


def test_16_bit_netpbm_is_big_endian(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P5\n2 1\n65535\n" + bytes([0, 8, 1, 0]))
    with open_image(tmp_path / "a.ppm") as image:
        assert image.read(Window(0, 0, 1, 2)).tolist() == [[8, 256]]


@pytest.mark.parametrize(("name", "write", "array"), CASES, ids=[f"{n}-{a.dtype}-{a.ndim}d" for n, _, a in CASES])
def test_a_file_that_is_cut_off_is_an_error_that_names_it(tmp_path, name, write, array):
    path = tmp_path / name
    write(path, array)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError) as caught, open_image(path) as image:
        image.read(WINDOWS[0])
    assert str(path) in str(caught.value)
    assert caught.value.fix == "copy the file again from where it came, or write it again."


def test_the_message_for_a_cut_off_scan_says_found_and_expected(tmp_path):
    path = tmp_path / "a_scan.png.ppm"
    path.write_bytes(b"P5\n30 20\n255\n" + bytes(500))
    with pytest.raises(InputError) as caught:
        open_image(path)
    assert str(caught.value) == (
        f"{path} is cut off: 513 bytes.\n"
        "Expected: 613 bytes, a header of 13 and 30 x 20 pixels.\n"
        "Fix: copy the file again from where it came, or write it again."
    )


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"P5", b"P5\n0 0\n255\n", b"P5\n-3 2\n255\n", b"II*\0", b"\xff\xd8\xff"]
)
def test_what_is_no_image_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "a_scan.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        open_image(path)


def test_a_scan_of_one_and_a_half_gigapixels_opens_and_a_window_costs_its_own_bytes(tmp_path):
    path = tmp_path / "huge.ppm"
    head = b"P5\n45000 33334\n255\n"
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + 45000 * 33334)
        file.seek(len(head) + 33333 * 45000 + 44999)
        file.write(b"\x07")
    tracemalloc.start()
    with open_image(path) as image:
        window = image.read(Window(33334 - 512, 45000 - 512, 512, 512))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert window[-1, -1] == 7
    assert peak < 2 * 2**20


@pytest.mark.parametrize("module", ["scans", "images"])
def test_opencv_has_no_limit_of_its_own_whichever_module_loads_it(module):
    # A header of 1.6 gigapixels without any of them: beyond its limit OpenCV raises an error of its own.
    code = f"""
import struct, numpy as np, plankton_keras.{module}, cv2
head = b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 40000, 40000, 1, 24, 0, 0, 0, 0, 0, 0)
print(cv2.imdecode(np.frombuffer(head, np.uint8), cv2.IMREAD_UNCHANGED))
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_IO_MAX_IMAGE_PIXELS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "None\n"


def test_too_many_pixels_are_refused(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P5\n200000 200000\n255\n")
    with pytest.raises(InputError) as caught:
        open_image(tmp_path / "a.ppm")
    assert str(caught.value) == (
        f"{tmp_path / 'a.ppm'} says that it has 200000 x 200000 pixels.\n"
        "Expected: 1 to 8589934592 pixels.\n"
        "Fix: cut the scan into parts."
    )


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
@pytest.mark.parametrize(("down", "is_square"), [(1200, False), (2390, True)])
def test_pixels_that_are_not_square_have_no_resolution(tmp_path, name, down, is_square):
    # Millimetres of what is twice as long across as down would be wrong, and nothing would say so.
    PillowImage.fromarray(GRAY).save(tmp_path / name, dpi=(2400, down))
    with open_image(tmp_path / name) as image:
        assert image.dpi == (pytest.approx(2400, rel=1e-3) if is_square else None)


@pytest.mark.parametrize(
    ("name", "write", "dpi"),
    [
        ("inch.tif", tiff(resolution=(2400, 2400), resolutionunit="INCH"), 2400),
        ("cm.tif", tiff(resolution=(944.882, 944.882), resolutionunit="CENTIMETER"), 2400),
        ("none.tif", tiff(), None),
        ("a.png", lambda path, array: PillowImage.fromarray(array).save(path, dpi=(2400, 2400)), 2400),
        ("b.png", by_opencv, None),
        ("a.jpg", lambda path, array: PillowImage.fromarray(array).save(path, dpi=(600, 600)), 600),
        ("a.ppm", netpbm, None),
    ],
)
def test_dots_per_inch_are_read_from_the_file(tmp_path, name, write, dpi):
    write(tmp_path / name, GRAY)
    with open_image(tmp_path / name) as image:
        assert image.dpi == (dpi and pytest.approx(dpi, rel=1e-3))


def test_the_resolution_of_a_png_is_that_of_its_part_not_of_a_text_that_looks_like_it(tmp_path):
    text = PngInfo()
    text.add_text("note", "pHYs" + "\1" * 20)
    PillowImage.fromarray(GRAY).save(tmp_path / "a.png", pnginfo=text)
    PillowImage.fromarray(GRAY).save(tmp_path / "b.png", pnginfo=text, dpi=(2400, 2400))
    found = []
    for name in ("a.png", "b.png"):
        assert b"note\0pHYs" in (tmp_path / name).read_bytes()
        with open_image(tmp_path / name) as image:
            found.append(image.dpi)
    assert found == [None, pytest.approx(2400, rel=1e-4)]


def test_a_band_of_a_compressed_tiff_decodes_each_strip_once(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", GRAY, compression="zlib", rowsperstrip=10)
    with open_image(tmp_path / "a.tif") as image:
        page, decoded = image._pixels._page, []
        real = page.decode
        monkeypatch.setattr(
            page, "decode", lambda data, index, **options: decoded.append(index) or real(data, index, **options)
        )
        for left in range(0, 200, 20):
            image.read(Window(15, left, 30, 20))
    assert decoded == [1, 2, 3, 4]


def test_a_gif_of_colours_is_read_in_colour_and_unused_colours_do_not_count(tmp_path):
    pixels = np.zeros((4, 6), np.uint8)
    pixels[0, 0] = 1
    gif = PillowImage.fromarray(pixels, "P")
    gif.putpalette([0, 0, 0, 200, 200, 200, 255, 0, 0])
    gif.save(tmp_path / "gray.gif")
    with open_image(tmp_path / "gray.gif") as image:
        assert image.channels == 1
        assert image.read(Window(0, 0, 1, 2)).tolist() == [[200, 0]]
    gif.putpalette([0, 0, 0, 200, 10, 20])
    gif.save(tmp_path / "colour.gif")
    with open_image(tmp_path / "colour.gif") as image:
        assert image.read(Window(0, 0, 1, 2)).tolist() == [[[200, 10, 20], [0, 0, 0]]]


@pytest.mark.parametrize(("name", "write"), [("a.png", by_opencv), ("a.ppm", netpbm), ("a.tif", tiff())])
def test_writing_into_a_window_does_not_change_the_next(tmp_path, name, write):
    write(tmp_path / name, GRAY)
    with open_image(tmp_path / name) as image:
        image.read(WINDOWS[0])[:] = 0
        assert np.array_equal(image.read(WINDOWS[0]), GRAY)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
@pytest.mark.parametrize("array", [GRAY, GRAY16])
def test_a_tiff_where_zero_is_white_is_inverted(tmp_path, options, array):
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite", **options)
    with open_image(tmp_path / "a.tif") as image:
        assert np.array_equal(image.read(WINDOWS[3]), np.iinfo(array.dtype).max - array[WINDOWS[3].slices])


def test_a_tiff_with_a_palette_is_refused(tmp_path):
    palette = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GRAY, photometric="palette", colormap=palette)
    with pytest.raises(InputError, match=r"a\.tif is a TIFF of uint8, PALETTE"):
        open_image(tmp_path / "a.tif")


def test_a_tiff_compressed_as_jpeg_is_read_and_called_lossy(tmp_path):
    smooth = cv2.GaussianBlur(GRAY, (0, 0), 9)
    tifffile.imwrite(tmp_path / "a.tif", smooth, compression="jpeg", rowsperstrip=16)
    with open_image(tmp_path / "a.tif") as image:
        assert np.abs(image.read(WINDOWS[0]).astype(int) - smooth).max() <= 6
        assert image.lossy


@pytest.mark.parametrize(
    "window", [Window(140, 0, 20, 5), Window(0, 210, 5, 5), Window(-1, 0, 5, 5), Window(0, 0, 0, 5)]
)
@pytest.mark.parametrize(
    ("name", "write"), [("a.png", by_opencv), ("a.ppm", netpbm), ("z.tif", tiff(compression="zlib"))]
)
def test_a_window_beyond_the_image_is_refused(tmp_path, name, write, window):
    write(tmp_path / name, GRAY)
    with open_image(tmp_path / name) as image, pytest.raises(ValueError, match="is not within"):
        image.read(window)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        open_image(tmp_path)


@pytest.mark.slow
def test_a_real_separation_mask_of_367_megapixels(shared):
    (path,) = (shared / "real" / "measurements").glob("*.gif")
    with open_image(path) as image:
        assert (image.width, image.height) == (24514, 14992)
        values = set(np.unique(image.read(Window(7000, 0, 512, 24514))))
    assert values <= {0, 255}


def test_an_image_that_cannot_be_read_is_the_error_of_that_image(tmp_path):
    (tmp_path / "a_scan.png").symlink_to("/proc/self/mem")
    with pytest.raises(InputError) as caught:
        open_image(tmp_path / "a_scan.png")
    assert caught.value.what == f"{tmp_path / 'a_scan.png'} cannot be read: Input/output error."


@pytest.mark.parametrize("suffix", ["ppm", "png", "tif", "bmp", "gif", "jpg"])
def test_images_that_may_not_be_read_or_fail_later_have_three_lines(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a.{suffix}"
    by_opencv(path, GRAY) if suffix != "gif" else by_pillow(path, GRAY)
    opened = []

    def failing(*words, **options):
        opened.append(words)
        if len(opened) > 1:
            raise PermissionError(13, "Permission denied", str(path))
        return real(*words, **options)

    real = open
    monkeypatch.setattr("builtins.open", failing)
    with pytest.raises(InputError) as caught:
        open_image(path)
    assert caught.value.what.startswith(f"{path} ")
    assert caught.value.exit_code == 3


def test_a_disk_without_room_for_the_pixels_is_no_error_of_the_image(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/tmp")

    by_opencv(tmp_path / "a.png", GRAY)
    monkeypatch.setattr("plankton_keras.images.reserve", full)
    with pytest.raises(OSError, match="No space left"):
        open_image(tmp_path / "a.png")
