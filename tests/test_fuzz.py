"""Readers take any bytes: a value comes of them, or a clear error that names the file; soon, in little memory.

`tests/fuzz/` searches for bytes that break this; what it found stands in `tests/fuzz/corpus/` and is read again here.
"""

import csv
import dataclasses
import datetime
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from fuzz.mutators import MUTATORS
from fuzz.readers import READERS, attempt, file_of, prepare, seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plankton_keras import config, schema
from plankton_keras.challenge import decode, encode
from plankton_keras.ecotaxa.cells import Columns
from plankton_keras.errors import PlanktonError
from plankton_keras.images import CLASS_PNG, GRAY_PNG, open_image
from plankton_keras.sample_columns import COLUMNS
from plankton_keras.sample_tables import read_samples
from plankton_keras.scans import open_mask
from plankton_keras.synthetic import write_netpbm
from plankton_keras.taxa import MAX_ID, Target, Taxon, read_taxa
from plankton_keras.tiles import Window

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
CASES = sorted(CORPUS.glob("*/*"))
few = settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_what_was_found_gives_a_value_or_an_error_that_names_the_file(tmp_path, case):
    path = prepare(case.parent.name, tmp_path)
    path.write_bytes(case.read_bytes())
    assert isinstance(attempt(case.parent.name, path), PlanktonError | None)


MESSAGES = {
    "bmp/os2-huge-and-empty": "{path} is cut off: 26 bytes.",
    "config/endless-rate": "{path}: --learning-rate is inf.",
    "ecotaxa_zip/name-no-utf-8": (
        "{path} cannot be read as .zip: 'utf-8' codec can't decode byte 0xff in position 41: invalid start byte."
    ),
    "ecotaxa_zip/picture-without-magic": "{path}/a_0001/o0.png cannot be read: Bad magic number for file header.",
    "export/a-list": "{path} holds a list.",
    "gif/huge-and-empty": "{path} is cut off: 35 bytes.",
    "journal/scans-without-path": "{path} is damaged: path is missing.",
    "manifest/version-of-two-lines": r"{path} has format version a\nb.",
    "png/huge-and-empty": "{path} is cut off: 69 bytes.",
    "png/part-of-two-gigabytes": (
        "{path} is a damaged PNG: its part b'tEXt' at byte 33 is not whole, or not in its place."
    ),
    "tiff/jpeg-larger-than-its-part": (
        "{path}: part 0 cannot be decoded: its JPEG claims 1073741824 pixels instead of 256."
    ),
    "tiff/one-sample-as-colour": "{path} is a TIFF of uint8, RGB, with shape (9, 7, 1).",
    "zooprocess/latitude-of-a-million-digits": (
        "{path.parent}:\n  a_meta.txt, latitude: '1e99999999' is not between -180 and 180."
    ),
}


@pytest.mark.parametrize(("case", "message"), MESSAGES.items(), ids=MESSAGES)
def test_what_was_found_is_refused_in_words(tmp_path, case, message):
    name = case.split("/")[0]
    path = prepare(name, tmp_path)
    path.write_bytes((CORPUS / case).read_bytes())
    assert attempt(name, path).what == message.format(path=path)


def test_found_cases_are_small_and_of_readers_that_there_are():
    assert {case.parent.name for case in CASES} <= set(READERS)
    assert {case.name: size for case in CASES if (size := case.stat().st_size) > 4096} == {}


@pytest.mark.parametrize("name", READERS)
def test_files_of_our_own_writers_are_where_a_search_starts(tmp_path, name):
    path, read = prepare(name, tmp_path), 0
    for content in seeds(name):
        path.write_bytes(content)
        read += attempt(name, path) is None
    # Masks are lossless, so that no JPEG passes as one.
    assert read > 0 or name == "jpeg"


@st.composite
def damages(draw):
    """A function that damages bytes in some places."""
    places = draw(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(min_size=1, max_size=8)), max_size=4)
    )

    def damage(data):
        for share, how, content in places:
            at = int(share * len(data))
            end = at + len(content)
            data = {
                0: data[:at],
                1: data[:at] + content + data[at:],
                2: data[:at] + content + data[end:],
                3: data[:at] + data[end:],
                4: data[:at] + data[at:end] * 3 + data[end:],
            }[how]
        return data

    return damage


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_give_a_value_or_an_error_that_names_the_file(tmp_path, name):
    path, whole = prepare(name, tmp_path), seeds(name)

    @few
    @given(st.sampled_from(whole), damages(), st.integers(0, 2**31))
    def check(content, damage, seed):
        mutate = MUTATORS.get(name)
        path.write_bytes(mutate(content, damage, seed) if mutate and seed % 3 else damage(content))
        assert isinstance(attempt(name, path), PlanktonError | None)

    check()


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_give_a_value_or_an_error_that_names_the_file(tmp_path, name):
    path, heads = prepare(name, tmp_path), [content[:12] for content in seeds(name)]

    @few
    @given(st.sampled_from([b"", *heads]), st.binary(max_size=200))
    def check(head, content):
        path.write_bytes(head + content)
        assert isinstance(attempt(name, path), PlanktonError | None)

    check()


LONG = {
    "nested.json": b"[" * 200_000,
    "digits.json": b'{"epochs": ' + b"9" * 5000 + b"}",
    "blanks.txt": b"\n" * 200_000 + b" " * 200_000 + b"x",
    "cell.csv": b'id,name,living\n1,"' + b"x" * 200_000 + b'",1\n',
    "columns.csv": b"scan," + b",".join(b"column%d" % index for index in range(5_000)) + b"\n",
    "netpbm.ppm": b"P5 " + b"9" * 5000 + b" 1 255 0",
    "ids.csv": b"id,name,living\n" + b"9" * 5000 + b",a,1\n",
    "rows.csv": b"Id,Target\na_mask.png.ppm_" + b"9" * 5000 + b",0\n",
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", LONG.values(), ids=LONG)
def test_long_files_are_no_better_than_short_ones(tmp_path, name, content):
    path = prepare(name, tmp_path)
    path.write_bytes(content)
    assert isinstance(attempt(name, path), PlanktonError | None)


def test_the_readers_are_searched_without_tensorflow():
    code = "import sys, fuzz.readers; print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert done.stdout == "[]\n"


# What is written comes back.


@few
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 2**31))
def test_netpbm_comes_back_as_it_was_written(tmp_path_factory, height, width, dtype, seed):
    path = tmp_path_factory.mktemp("netpbm") / "a_mask.png.ppm"
    array = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width), dtype, endpoint=True)
    write_netpbm(path, array)
    with open_image(path) as image:
        read = image.read(Window(0, 0, height, width))
        assert read.dtype == dtype
        assert np.array_equal(read, array)
    with open_mask(path) as mask:
        assert mask.ids() == {int(value): int((array == value).sum()) for value in np.unique(array)}


WRITERS = {
    "classes.png": lambda path, array: cv2.imwrite(str(path), array, CLASS_PNG),
    "grays.png": lambda path, array: cv2.imwrite(str(path), array, GRAY_PNG),
    "deflate.tif": lambda path, array: tifffile.imwrite(path, array, compression="zlib", rowsperstrip=4),
    "lzw-tiles.tif": lambda path, array: tifffile.imwrite(path, array, compression="lzw", tile=(16, 32)),
    "zstd.tif": lambda path, array: tifffile.imwrite(path, array, compression="zstd"),
    "plain.tif": tifffile.imwrite,
}


@pytest.mark.parametrize("name", WRITERS)
def test_images_come_back_as_they_were_written(tmp_path, name):
    @few
    @given(st.integers(1, 40), st.integers(1, 70), st.sampled_from([np.uint8, np.uint16]), st.integers(1, 2**16))
    def check(height, width, dtype, most):
        # From one value to all of them: what packs well, and what does not.
        most = min(most, np.iinfo(dtype).max + 1)
        array = np.random.default_rng(most).integers(0, most, (height, width), dtype)
        WRITERS[name](tmp_path / name, array)
        with open_image(tmp_path / name) as image:
            assert np.array_equal(image.read(Window(0, 0, height, width)), array)

    check()


# What a cell may hold and still is the same when its ends are stripped.
words = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=12).map(str.strip)


@few
@given(st.dictionaries(st.integers(0, MAX_ID), st.tuples(words.filter(bool), st.booleans()), max_size=8))
def test_taxa_come_back_as_they_were_written(tmp_path_factory, taxa):
    path = tmp_path_factory.mktemp("taxa") / "taxa.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = [(mask_id, name, int(living)) for mask_id, (name, living) in taxa.items()]
        csv.writer(file).writerows([("id", "name", "living"), *rows])
    assert read_taxa(path) == [Taxon(mask_id, *rest) for mask_id, rest in taxa.items()]


# Of settings that are parsed.
TEXTS = {
    "name": st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True),
    "gray_range": st.just("") | st.integers(0, 65535).map(lambda low: f"{low}:65536"),
    "wanted": st.just("") | st.floats(0.01, 0.99).map(lambda share: f"recall={share}"),
}


def values_of(item):
    """Draws legal values of a setting."""
    rules, default = item.metadata, item.default
    if rules["choices"]:
        return st.sampled_from(rules["choices"])
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, str):
        return TEXTS.get(item.name, st.text())
    if isinstance(default, int):
        step = rules["multiple"] or 1
        most = rules["high"] if rules["high"] is not None else 10**6
        return st.integers(-(-rules["low"] // step), most // step).map(lambda count: count * step)
    numbers = st.floats(rules["low"], rules["high"], allow_nan=False, allow_infinity=False)
    return st.none() | numbers if default is None else numbers


@pytest.mark.parametrize("kind", [config.RecordsConfig, config.TrainConfig, config.PredictConfig, config.ServeConfig])
def test_settings_come_back_from_json(kind):
    @few
    @given(st.fixed_dictionaries({}, optional={item.name: values_of(item) for item in dataclasses.fields(kind)}))
    def check(values):
        made = kind(**values)
        assert kind.from_json(json.loads(json.dumps(made.to_json()))) == made

    check()


digests = st.text("0123456789abcdef", min_size=64, max_size=64)
counts = st.integers(0, 2**40)
shares = st.floats(0, 1)
shards = st.builds(schema.Shard, file=words, patches=counts, bytes=counts, sha256=digests)
splits = st.dictionaries(st.sampled_from(schema.SPLITS), st.lists(shards, max_size=2).map(tuple), max_size=3)


@st.composite
def targets(draw):
    """Draws targets of two classes or more."""
    names = tuple(draw(st.lists(words, min_size=2, max_size=5, unique=True)))
    classes = draw(st.dictionaries(st.integers(0, MAX_ID), st.integers(0, len(names) - 1), max_size=5))
    return Target(names, classes, draw(st.none() | st.integers(0, len(names) - 1)), draw(st.integers(0, MAX_ID)))


@few
@given(targets())
def test_targets_come_back_from_json(target):
    assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target


@few
@given(
    targets(),
    splits,
    splits,
    st.lists(
        st.builds(
            schema.Source,
            stem=words,
            split=st.sampled_from(schema.SPLITS),
            height=st.integers(1, 10**5),
            width=st.integers(1, 10**5),
            dpi=st.none() | st.floats(1, 10**4),
            scan_sha256=digests,
            mask_sha256=digests,
            look=st.dictionaries(words, shares, max_size=2),
        ),
        max_size=2,
    ).map(tuple),
    st.none() | shares,
)
def test_manifests_come_back_from_json(target, shards_by_split, candidates, sources, share):
    manifest = schema.Manifest(
        patch_size=64,
        classes=target.names,
        target=target.to_json(),
        class_share=dict.fromkeys(target.names, 0.5),
        splits=shards_by_split,
        sources=sources,
        settings=config.RecordsConfig(patch_size=64).to_json(),
        candidates=candidates,
        candidate_share=share,
    )
    assert schema.Manifest.from_json(json.loads(json.dumps(manifest.to_json())), "manifest.json") == manifest


@few
@given(st.integers(1, 6), st.integers(1, 40), st.sampled_from(["always", "needed"]), st.integers(0, 2**31))
def test_rows_of_the_challenge_come_back(height, width, padding, seed):
    mask = np.random.default_rng(seed).integers(0, 2, (height, width), np.uint8)
    assert np.array_equal(decode(encode(mask, padding), width, [str(row) for row in range(height)]), mask)


@few
@given(
    st.fixed_dictionaries(
        {
            "sub_part": st.floats(1, 1e6),
            "volume_m3": st.floats(1e-3, 1e6),
            "latitude": st.floats(-90, 90).filter(bool),
            "longitude": st.floats(-180, 180),
            "date": st.dates(datetime.date(1800, 1, 1), datetime.date(2020, 1, 1)),
            "time": st.times().map(lambda time: time.replace(microsecond=0)),
            "ship": words,
            "comment": words,
        }
    )
)
def test_samples_come_back_as_they_were_written(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("samples") / "samples.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["scan", "sample", *values], ["a", "s", *values.values()]])
    missing = [name for name in ("sub_part", "volume_m3") if values[name] in (9999, 99999, 999999)]
    if missing:
        with pytest.raises(PlanktonError, match=f"{missing[0]}: .* stands for a missing value"):
            read_samples(path)
        return
    ((sample,), _) = read_samples(path)
    read = {name: getattr(sample.fractions[0] if COLUMNS[name].of_scan else sample, name) for name in values}
    assert read == values


@few
@given(st.lists(st.tuples(words, st.none() | st.floats(-1e9, 1e9)), min_size=1, max_size=5))
def test_cells_of_a_package_come_back(rows):
    rows = [
        {"img_file_name": f"{index}.png", "object_id": f"o{index}", "object_note": text, "object_area": number}
        for index, (text, number) in enumerate(rows)
    ]
    names, types, *cells = Columns().table(rows)
    for row, texts in zip(rows, cells, strict=True):
        read = dict(zip(names, texts, strict=True))
        missing = row["object_note"].lower() in ("", "nan", "na")
        assert read.get("object_note", "") == ("" if missing else row["object_note"])
        assert read.get("object_area", "") == ("" if row["object_area"] is None else str(row["object_area"]))
    assert all(kind == ("[f]" if name == "object_area" else "[t]") for name, kind in zip(names, types, strict=True))


def test_a_reader_is_tried_with_the_file_that_it_looks_for(tmp_path):
    assert file_of("png", tmp_path) == tmp_path / "a_scan.png"
    assert file_of("journal", tmp_path) == tmp_path / "prediction.json"
