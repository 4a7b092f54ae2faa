"""Makes docs/demo.png of a finished demo: scan, outlines, table. `python docs/make_picture.py plankton-demo`."""

import csv
import sys
from pathlib import Path

import cv2
import numpy as np

SIDE, ROW = 640, 30
COLUMNS = ("label", "class", "score", "x_px", "y_px", "area_px")


def picture(folder):
    """Puts a crop of the scan, the same crop of the overlay and its first objects side by side."""
    overlay_path = next((folder / "predictions").glob("*_overlay.jpg"))
    stem = overlay_path.name.removesuffix("_overlay.jpg")
    scan = cv2.imread(str(next((folder / "scans" / "test").glob(f"{stem}_scan*"))), cv2.IMREAD_GRAYSCALE)
    crop = slice(0, SIDE), slice(0, SIDE)
    panels = [cv2.cvtColor(scan, cv2.COLOR_GRAY2BGR)[crop], cv2.imread(str(overlay_path))[crop]]
    table = np.full((SIDE, SIDE, 3), 255, np.uint8)
    with open(folder / "predictions" / f"{stem}_objects.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["x_px"]) < SIDE and int(row["y_px"]) < SIDE]
    for line, row in enumerate([dict(zip(COLUMNS, COLUMNS, strict=True)), *rows][: SIDE // ROW - 1]):
        for column, name in enumerate(COLUMNS):
            at = 16 + column * 104, (line + 1) * ROW
            weight = 2 if line == 0 else 1
            cv2.putText(table, row[name], at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), weight, cv2.LINE_AA)
    gap = np.full((SIDE, 8, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, table], axis=1)


if __name__ == "__main__":
    cv2.imwrite(str(Path(__file__).parent / "demo.png"), picture(Path(sys.argv[1])))
