"""Every reader of a file that a user may hand over, valid files to start from, and what a reader may do with any file.

None of them loads TensorFlow: a folder of records is read by what `plankton info` reads of it.
"""

import contextlib
import json
import resource
import tempfile
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image as PillowImage

from plankton_keras import config, schema
from plankton_keras.challenge import predicted_masks, read_csv, write_csv
from plankton_keras.describe import describe
from plankton_keras.ecotaxa.labels import find_labelled
from plankton_keras.ecotaxa.lint import lint
from plankton_keras.ecotaxa.package import PackageObject, write_packages
from plankton_keras.errors import PlanktonError
from plankton_keras.files import read_json
from plankton_keras.images import open_image
from plankton_keras.journal import Journal
from plankton_keras.measuring import read_objects
from plankton_keras.runs import Run
from plankton_keras.sample_columns import template
from plankton_keras.sample_tables import read_samples
from plankton_keras.samples import read_groups
from plankton_keras.scans import open_mask, open_scan
from plankton_keras.taxa import file_target, living_target, read_taxa
from plankton_keras.tiles import Window
from plankton_keras.vignette_pictures import vignette
from plankton_keras.vignettes import read_vignette
from plankton_keras.zooprocess_metadata import read_metadata

SECONDS, BYTES = 3, 400 * 2**20
# Images of more pixels are looked at in their corners only.
PIXELS = 2**18


class Broken(AssertionError):
    """A reader did what none may do: `kind` is one word for it."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def _image(path):
    with open_image(path) as image:
        height, width = min(64, image.height), min(64, image.width)
        for top, left in ((0, 0), (image.height - height, image.width - width)):
            assert image.read(Window(top, left, height, width)).shape[:2] == (height, width)
        pixels = image.height * image.width
    if pixels <= PIXELS:
        with open_scan(path) as scan:
            assert scan.read(Window(0, 0, scan.height, scan.width)).dtype == np.uint8
        with open_mask(path) as mask:
            assert sum(mask.ids().values()) == pixels


def _samples(path):
    failed = None
    for read in (lambda: read_samples(path), lambda: read_groups(path.parent, "date", ["a", "b"])):
        try:
            read()
        except PlanktonError as error:
            failed = error
            judge(error, path)
    if failed:
        raise failed


def _package(path):
    for problem in lint(path):
        _one_line(str(problem))
    for each in find_labelled(path, 0.5):
        try:
            read_vignette(each.path)
        except PlanktonError as error:
            judge(error, each.path)


def _manifest(path):
    manifest = schema.Manifest.from_json(read_json(path, "write it again."), path)
    assert schema.Manifest.from_json(json.loads(json.dumps(manifest.to_json())), path) == manifest
    _worded(describe(path.parent))


def _config(path):
    values = config.TrainConfig.values_of_file(path)
    for kind in (config.RecordsConfig, config.PredictConfig, config.ServeConfig):
        try:
            kind.of_file({name: value for name, value in values.items() if name in kind.names()}, path)
        except PlanktonError as error:
            judge(error, path)
    Run(path.parent).read_config()
    _worded(describe(path.parent))


def _journal(path):
    # These load most of the package.
    from plankton_keras.artefact_checks import check_artefact
    from plankton_keras.tabulating import read_predictions

    journal = Journal(path.parent)
    for scan in journal.scans:
        journal.digest(scan)
    _worded(describe(path.parent))
    for finding in check_artefact(path.parent):
        _one_line(finding.what)
    read_predictions(path.parent)
    with contextlib.suppress(PlanktonError):
        predicted_masks(path.parent)


def _export(path):
    _worded(describe(path.parent))


def _worded(description):
    """Prints a description as `plankton info` does."""
    json.dumps(description, default=str).encode()
    "\n".join(f"{name} {value}" for name, value in description.items()).encode()


READERS = {
    **dict.fromkeys(("netpbm", "tiff", "png", "bmp", "gif", "jpeg"), _image),
    "taxa": read_taxa,
    "classes": file_target,
    "samples": _samples,
    "zooprocess": lambda path: read_metadata(path.parent),
    "ecotaxa_table": lambda path: _package(path.parent),
    "ecotaxa_zip": _package,
    "manifest": _manifest,
    "config": _config,
    "journal": _journal,
    "export": _export,
    "objects": lambda path: read_objects(path.parent, "a"),
    "challenge": lambda path: list(read_csv(path, {"a": 13, "b": 12})),
}
# The name that each reads; where it reads a folder, that of the file in it.
FILES = {
    "netpbm": "a_scan.png.ppm",
    "tiff": "a_scan.tif",
    "taxa": "taxa.csv",
    "classes": "classes.csv",
    "samples": "samples.csv",
    "zooprocess": "a_meta.txt",
    "ecotaxa_table": "ecotaxa_a.tsv",
    "ecotaxa_zip": "ecotaxa_a.zip",
    "manifest": "manifest.json",
    "config": "config.json",
    "journal": "prediction.json",
    "export": "metadata.json",
    "objects": "a_objects.csv",
    "challenge": "submission.csv",
}


def file_of(name, folder):
    """Gives the path of the one file that a reader is tried with."""
    return Path(folder) / FILES.get(name, f"a_scan.{name}")


def prepare(name, folder):
    """Puts beside the file what stands there in real folders; gives the file's path."""
    path = file_of(name, folder)
    if name == "ecotaxa_table":
        for index in range(2):
            cv2.imwrite(str(path.with_name(f"{index}.png")), _gray(9 + index, 7))
    return path


def judge(error, path):
    """Checks the message of an error: clear lines that name the file, or its folder, and can be printed.

    Raises:
        Broken: If it does not.
    """
    first, *more = error.what.split("\n")
    if any(not line.startswith("  ") for line in more):
        raise Broken("lines", f"more than one line: {error.what!r}")
    for line in (first, *more, error.expected, error.fix):
        _one_line(line)
    if not any(str(each) in first for each in (path, path.name, path.parent)):
        raise Broken("nameless", f"does not name {path}: {error.what!r}")


def _one_line(text):
    if len(text.splitlines()) != 1:
        raise Broken("lines", f"not one line: {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Broken("unprintable", f"cannot be printed: {text!r}") from None


def attempt(name, path):
    """Has a reader read a file.

    Returns:
        The `PlanktonError` that it refused the file with, or None.

    Raises:
        Broken: If the error names no file or has several lines, or it took more than 3 s or 400 MiB.
        Exception: Whatever else the reader raised; that is a bug.
    """
    refused, seconds, kilobytes = None, time.process_time(), _peak()
    try:
        READERS[name](path)
    except PlanktonError as error:
        judge(error, path)
        refused = error
    finally:
        seconds, kilobytes = time.process_time() - seconds, _peak() - kilobytes
    if seconds > SECONDS:
        raise Broken("slow", f"took {seconds:.1f} s of CPU")
    if kilobytes * 1024 > BYTES:
        raise Broken("memory", f"took {kilobytes // 1024} MiB")
    return refused


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _gray(height, width, dtype=np.uint8):
    return np.random.default_rng(height * width).integers(0, np.iinfo(dtype).max, (height, width), dtype)


def _netpbm(path):
    for array in (_gray(5, 7), _gray(5, 7, np.uint16).astype(">u2")):
        path.write_bytes(f"P5\n# drawn\n7 5\n{np.iinfo(array.dtype).max}\n".encode() + array.tobytes())
        yield path
    path.write_bytes(b"P6 7 5 255 " + _gray(5, 21).tobytes())
    yield path


def _tiffs(path):
    options = ({}, {"compression": "zlib", "predictor": True}, {"compression": "lzw"}, {"compression": "packbits"})
    for each in (*options, {"tile": (16, 16), "compression": "zlib"}, {"bigtiff": True}, {"compression": "jpeg"}):
        gray = _gray(19, 21, np.uint16 if each.get("bigtiff") else np.uint8)
        tifffile.imwrite(path, gray, resolution=(2400, 2400), resolutionunit=2, metadata=None, **each)
        yield path
    tifffile.imwrite(path, _gray(9, 21).reshape(9, 7, 3), photometric="rgb", rowsperstrip=4, byteorder=">")
    yield path


def _by_opencv(path):
    for array in (_gray(9, 7), _gray(9, 21).reshape(9, 7, 3)):
        cv2.imwrite(str(path), array)
        yield path
    if path.suffix == ".png":
        cv2.imwrite(str(path), _gray(9, 7, np.uint16))
        yield path


def _gifs(path):
    for palette in (bytes(range(256)), None):
        image = PillowImage.fromarray(_gray(9, 7))
        if palette:
            image = image.convert("P")
        image.save(path)
        yield path


def _text(*texts):
    def write(path):
        for text in texts:
            path.write_text(text, encoding="utf-8")
            yield path

    return write


def _json(*contents):
    return _text(*(json.dumps(content) for content in contents))


def _packages(path):
    objects = [
        PackageObject(
            name=f"o{index}",
            picture=vignette(_gray(9 + index, 7), np.ones((9 + index, 7), bool), 0.0106),
            sample="s",
            acquisition="d1",
            process="p",
            category=("Calanoida", "part<Crustacea")[index],
            score=0.75,
            status="validated",
            fields={"lat": 43.7, "lon": -7.3, "date": "20230626", "time": "082800", "depth_min": 0, "area": 63},
        )
        for index in range(2)
    ]
    parents = {
        "sample": {"s": {"tot_vol": 203.5}},
        "acq": {"d1": {"sub_part": 4}},
        "process": {"p": {"img_resolution": 2400, "particle_pixel_size_mm": 0.0106}},
    }
    with tempfile.TemporaryDirectory() as folder:
        (written,) = write_packages(folder, "a", objects, parents)
        if path.suffix == ".zip":
            path.write_bytes(written.read_bytes())
        else:
            with zipfile.ZipFile(written) as archive:
                table = archive.read("ecotaxa_a_0001.tsv")
            path.write_bytes(table.replace(b"a_0001/o", b""))
    yield path


def _challenges(path):
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "a_mask.png"
        cv2.imwrite(str(mask), _gray(5, 13) // 128)
        write_csv(path, [mask])
    yield path


_SHARD = {"file": "train-00000-of-00001.tfrecord", "patches": 3, "bytes": 900, "sha256": "ab" * 32}
_MANIFEST = schema.Manifest(
    patch_size=64,
    classes=("non-living", "living"),
    target=living_target().to_json(),
    class_share={"non-living": 0.9, "living": 0.1},
    splits={"train": (schema.Shard(**_SHARD),)},
    sources=(schema.Source("a", "train", 200, 300, 2400.0, "ab" * 32, "cd" * 32, {"ground": 225.0}),),
    settings=config.RecordsConfig(patch_size=64).to_json(),
    candidates={"train": (schema.Shard(**_SHARD),)},
    candidate_share=0.99,
)
_ENTRY = {"scan": "a", "path": "scans/a_scan.png.ppm", "objects": 3, "sha256": "ab" * 32, "files": ["a_mask.png"]}
_JOURNAL = {
    "model": "runs/a",
    "model_sha256": "ab" * 32,
    "threshold": 0.5,
    "classes": ["non-living", "living"],
    "settings": config.PredictConfig().to_json(),
    "versions": {"python": "3.11"},
    "status": "done",
    "scans": [_ENTRY],
    "failed": [{"scan": "b", "path": "scans/b.png", "error": "b is cut off."}],
}
_EXPORT = {
    "format_version": "1.0",
    "model": "unet",
    "classes": ["non-living", "living"],
    "threshold": 0.5,
    "tile": 1536,
    "context": 64,
    "dpi": 2400.0,
    "max_difference": 1e-6,
    "model_sha256": "ab" * 32,
    "created": "2025-01-01T00:00:00+00:00",
}
_OBJECTS = (
    "label,class,score,x_px,y_px,width_px,height_px,area_px\n1,living,0.98,30,20,30,30,900\n2,living,0.5,1,2,3,4,5\n"
)
_METADATA = (
    "[Sample]\nSampleId= s1\nScanOp= op\nShip= thalassa\nStationId= 66\nDate= 20230626-0828\nLatitude= 47.5076\n"
    "Longitude= 15.2622\nDepth= 4000\nZmin= 312\nZmax= 419\nVol= 407\nNettype= bioness\nNetmesh= 200\nNetsurf= 1\n"
    "[Fraction]\nFracId= d1\nFracMin= 1000\nFracSup= 999999\nFracNb= 8\nSubmethod= motoda\nSample_comment= none\n"
)
_SEEDS = {
    "netpbm": _netpbm,
    "tiff": _tiffs,
    **dict.fromkeys(("png", "bmp", "jpeg"), _by_opencv),
    "gif": _gifs,
    "taxa": _text("id,name,living\n0,ground,0\n1,detritus,0\n8,Copepoda,1\n", '\ufeffname,living,id\n"a,b",1,65535\n'),
    "classes": _text("id,class\n0,ground\n1,animal\n8,animal\n9,other\n"),
    "samples": _text(
        template(),
        "scan,sample,fraction,sub_part,volume_m3,date,time,latitude,longitude\n"
        "a,s1,d1,8,407,2023-06-26,08:28,47.8,-15.4\nb,s1,d2,4,407,2023-06-26,08:28,47.8,-15.4\n",
    ),
    "zooprocess": _text(_METADATA),
    "ecotaxa_table": _packages,
    "ecotaxa_zip": _packages,
    "manifest": _json(_MANIFEST.to_json(), {**_MANIFEST.to_json(), "kind": "vignettes", "candidates": {}}),
    "config": _json(config.TrainConfig().to_json(), {"epochs": 3, "tile": 640, "gray_range": "1:9", "host": "::1"}),
    "journal": _json(_JOURNAL, {**_JOURNAL, "status": "running", "failed": []}),
    "export": _json(_EXPORT),
    "objects": _text(_OBJECTS),
    "challenge": _challenges,
}


def seeds(name):
    """Gives valid files of a reader as bytes, most of them made by the project's own writers."""
    with tempfile.TemporaryDirectory() as folder:
        return [path.read_bytes() for path in _SEEDS[name](file_of(name, folder))]
