"""Packages for EcoTaxa drawn for tests: four scans, two fractions of two samples, and ways to spoil one thing."""

import csv
import io
import zipfile

import numpy as np

from plankton_keras.ecotaxa.package import PackageObject, write_packages
from plankton_keras.vignette_pictures import vignette

PIXEL_MM = 25.4 / 2400
CATEGORIES = ("Calanoida", "part<Crustacea", "detritus", "Été<living")


def drawn_object(index, scan=1, category=None, score=0.75, **fields):
    """An object whose gray levels are those of no other one."""
    generator = np.random.default_rng((index, scan))
    gray = generator.integers(30, 200, (12 + index, 15 + 2 * index)).astype(np.uint8)
    mask = np.ones(gray.shape, bool)
    mask[:4, :5] = False
    return PackageObject(
        name=f"scan{scan}_{index}",
        picture=vignette(gray, mask, PIXEL_MM),
        sample=f"Station É {(scan + 1) // 2}",
        acquisition=f"d{1 + scan % 2}_{(scan + 1) // 2}",
        process=f"plankton_keras_{scan}",
        category=category or CATEGORIES[index % 4],
        score=score,
        fields={"lat": 43.7, "lon": -7.3, "date": "20230626", "time": "08:28:00.000", "depth_min": 0, "depth_max": 75}
        | {"area": int(mask.sum()), "mean": float(gray[mask].mean()), "kurt": float("nan"), "second": "Oithona"}
        | fields,
    )


def crop_of(index, scan=1):
    """The gray levels of such an object, white outside of it."""
    gray = np.random.default_rng((index, scan)).integers(30, 200, (12 + index, 15 + 2 * index)).astype(np.uint8)
    gray[:4, :5] = 255
    return gray


def drawn_parents():
    """What is known of the samples, acquisitions and processes of four scans."""
    return {
        "sample": {f"Station É {n}": {"tot_vol": 203.5, "net_mesh": 200, "bottomdepth": None} for n in (1, 2)},
        "acq": {f"d{n}_{m}": {"sub_part": 4 * n, "sub_method": "motoda"} for n in (1, 2) for m in (1, 2)},
        "process": {
            f"plankton_keras_{n}": {
                "img_resolution": 2400,
                "particle_pixel_size_mm": 0.0106,
                "model_sha256": "ab" * 32,
                "threshold": 0.5,
            }
            for n in (1, 2, 3, 4)
        },
    }


def drawn_package(out, count=4, scans=4, stem="drawn", **options):
    """Writes packages of `count` objects on each scan; gives their paths."""
    objects = [drawn_object(index, scan) for scan in range(1, scans + 1) for index in range(count)]
    return write_packages(out, stem, objects, drawn_parents(), **options)


def files_of(path):
    """Reads a .zip as bytes by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_files(path, files):
    """Writes a .zip of bytes by name."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def cells_of(content):
    """Reads a table as lists of cells."""
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter="\t"))


def table_of(cells, encoding="utf-8-sig"):
    """Words lists of cells as a table."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(cells)
    return text.getvalue().encode(encoding)
