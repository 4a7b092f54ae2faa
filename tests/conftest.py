"""What several test files share: tiny scans of known truth, and records of them."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
# Programs that need what the tests do not; their examples are no tests.
collect_ignore = ["mutation.py", "fuzz/run.py"]


@pytest.fixture
def shared():
    """The folder of real data beside the repository, which is not part of it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real data in ../shared is missing")
    return SHARED / "data"


def write_p5(path, array):
    """Writes netpbm by hand, apart from the package's own writer."""
    largest = 255 if array.dtype == np.uint8 else 65535
    head = f"P5\n{array.shape[1]} {array.shape[0]}\n{largest}\n".encode()
    path.write_bytes(head + array.astype(np.uint8 if largest == 255 else ">u2").tobytes())


def tiny_scan(seed, height=200, width=300):
    """A pale scan with three dark squares: two living (id 8) and one not (id 1)."""
    generator = np.random.default_rng(seed)
    scan = generator.integers(222, 228, (height, width)).astype(np.uint8)
    mask = np.zeros((height, width), np.uint16)
    for mask_id, top, left in ((8, 20, 30), (8, 120, 200), (1, 90, 100)):
        down, right = generator.integers(0, 20, 2)
        square = slice(top + down, top + down + 30), slice(left + right, left + right + 30)
        mask[square] = mask_id
        scan[square] = 60 if mask_id == 8 else 140
    return scan, mask


@pytest.fixture(scope="session")
def tiny_scans(tmp_path_factory):
    """A folder with two training scans, one validation and one test scan."""
    folder = tmp_path_factory.mktemp("scans")
    for seed, (split, stem) in enumerate([("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")]):
        (folder / split).mkdir(exist_ok=True)
        scan, mask = tiny_scan(seed)
        write_p5(folder / split / f"{stem}_scan.png.ppm", scan)
        write_p5(folder / split / f"{stem}_mask.png.ppm", mask)
    (folder / "taxa.csv").write_text("id,name,living\n0,ground,0\n1,detritus,0\n8,Copepoda,1\n")
    return folder


@pytest.fixture(scope="session")
def tiny_records(tiny_scans, tmp_path_factory):
    """Records of the tiny scans, with patches of 64 pixels."""
    from plankton_keras.config import RecordsConfig
    from plankton_keras.data.records import write_records
    from plankton_keras.pairs import find_pairs
    from plankton_keras.taxa import living_target

    out = tmp_path_factory.mktemp("records")
    config = RecordsConfig(patch_size=64, patches_per_shard=8, ground_keep=0.5)
    write_records(find_pairs(tiny_scans), living_target(), config, out)
    return out
