"""Makes docs/demo.jpg of a finished demo: scan, outlines, table. `python docs/make_picture.py plankton-demo`."""

import csv
import sys
from pathlib import Path

import cv2
import numpy as np

HEIGHT, ROW = 480, 24
COLUMNS = ("label", "class", "score", "x_px", "y_px", "area_px")


def picture(folder):
    """Puts a crop of the scan, the same crop of the overlay and its first objects side by side."""
    overlay_path = next((folder / "predictions").glob("*_overlay.jpg"))
    stem = overlay_path.name.removesuffix("_overlay.jpg")
    scan = cv2.imread(str(next((folder / "scans" / "test").glob(f"{stem}_scan*"))), cv2.IMREAD_GRAYSCALE)
    pictures = [cv2.cvtColor(scan, cv2.COLOR_GRAY2BGR), cv2.imread(str(overlay_path))]
    width = scan.shape[1] * HEIGHT // scan.shape[0]
    panels = [cv2.resize(each, (width, HEIGHT), interpolation=cv2.INTER_AREA) for each in pictures]
    table = np.full((HEIGHT, width, 3), 255, np.uint8)
    with open(folder / "predictions" / f"{stem}_objects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for line, row in enumerate([dict(zip(COLUMNS, COLUMNS, strict=True)), *rows][: HEIGHT // ROW - 1]):
        for column, name in enumerate(COLUMNS):
            at = 16 + column * 102, (line + 1) * ROW
            weight = 2 if line == 0 else 1
            cv2.putText(table, row[name], at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), weight, cv2.LINE_AA)
    gap = np.full((HEIGHT, 8, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, table], axis=1)


if __name__ == "__main__":
    cv2.imwrite(str(Path(__file__).parent / "demo.jpg"), picture(Path(sys.argv[1])))
