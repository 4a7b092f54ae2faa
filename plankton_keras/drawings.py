"""Draws single objects, living or not, as sheets of absorbance: what `synthetic` strews over a scan."""

import cv2
import numpy as np


class Sheet:
    """A square patch of absorbance, drawn in units of the object's length around its middle, turned at random."""

    def __init__(self, rng, length, reach):
        self.rng, self.length, self.side = rng, length, int(2 * reach * length) + 16
        self.absorbance = np.zeros((self.side, self.side), np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        self.turn = length * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def fill(self, outline, absorbance, soft=1.0, rim=(0, 0)):
        """Adds an area; `soft` is the blur of its edge in pixels, `rim` the width and absorbance of its outline."""
        self._add(outline, absorbance, soft, None)
        self.stroke(outline, *rim)

    def stroke(self, line, width, absorbance, soft=0.8):
        """Adds a line; below one pixel it gets fainter instead of thinner."""
        self._add(line, absorbance * min(1.0, width * self.length), soft, max(1, round(width * self.length)))

    def grain(self, amount, cell):
        """Makes what stands uneven, by a factor about `1 +- amount`, in clouds of `cell` of a length, at least 4 px."""
        self.absorbance *= np.exp(amount * clouds(self.rng, self.absorbance.shape, max(4, cell * self.length)))

    def _add(self, points, absorbance, soft, thickness):
        pixels = np.asarray(points) @ self.turn + self.side / 2
        margin = 3 * soft + (thickness or 0) + 2
        left, top = np.clip(pixels.min(axis=0) - margin, 0, self.side - 1).astype(int)
        right, bottom = np.clip(pixels.max(axis=0) + margin, (left + 1, top + 1), self.side).astype(int)
        layer = np.zeros((bottom - top, right - left), np.uint8)
        sixteenths = np.rint((pixels - (left, top)) * 16).astype(np.int32)
        if thickness is None:
            cv2.fillPoly(layer, [sixteenths], 255, cv2.LINE_AA, shift=4)
        else:
            cv2.polylines(layer, [sixteenths], False, 255, thickness, cv2.LINE_AA, shift=4)
        blurred = cv2.GaussianBlur(layer.astype(np.float32), (0, 0), soft)
        self.absorbance[top:bottom, left:right] += blurred * (absorbance / 255)


def clouds(rng, shape, cell):
    """Draws smooth noise `shape`, float32, about normal, that changes over `cell` pixels."""
    grid = rng.standard_normal([int(np.ceil(side / cell)) + 2 for side in shape], dtype=np.float32)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)


def curve(start, heading, length, bend=0.0):
    """Draws a line of 40 points `(x, y)`; `bend` is its change of heading in radians, one number or 40."""
    headings = heading + (np.linspace(0, bend, 40) if np.isscalar(bend) else bend)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / 39)
    return np.asarray(start) + np.cumsum(steps, axis=0) - steps[0]


def ribbon(axis, half_widths):
    """Gives the closed outline of a band around a line."""
    along = np.gradient(axis, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    offset = across * np.broadcast_to(half_widths, len(axis))[:, None]
    return np.concatenate([axis + offset, (axis - offset)[::-1], (axis + offset)[:1]])


def oval(center, radius_x, radius_y):
    """Gives the closed outline of an ellipse."""
    angles = np.linspace(0, 2 * np.pi, 49)
    return np.asarray(center) + np.stack([radius_x * np.cos(angles), radius_y * np.sin(angles)], axis=1)


PLACE = np.linspace(0, 1, 40)  # where the points of a curve are, from its start to its end


def draw_copepod(sheet, rng):
    """Draws a copepod from above: body, abdomen, antennae, feet."""
    breadth = rng.uniform(0.13, 0.19)
    body = curve((0.42, 0), np.pi, 0.62, rng.normal(0, 0.15))
    outline = ribbon(body, breadth * np.sin(np.pi * (0.03 + 0.92 * PLACE)) ** 0.6)
    sheet.fill(outline, 0.6, 1.5, rim=(0.014, 0.25))
    for seam in body[15:36:5]:  # between the segments of the body
        sheet.stroke(np.add(seam, [(0, -breadth * 0.8), (0, breadth * 0.8)]), 0.008, 0.2)
    sheet.fill(ribbon(body[4:34], breadth * rng.uniform(0.2, 0.45) * np.sin(np.linspace(0, np.pi, 30))), 0.45, 3)
    sheet.grain(0.22, 0.05)
    for index in range(4):  # the abdomen
        segment = curve(body[-1] - (0.055 * index, 0), np.pi, 0.048)
        sheet.fill(ribbon(segment, (0.040 - 0.004 * index) * (1 - 0.3 * PLACE**4)), 0.6, 1.2)
    for side in (-1, 1):
        fork = np.add(body[-1], (-0.22, 0.012 * side))
        sheet.stroke(curve(fork, np.pi - 0.2 * side, 0.07), 0.020, 0.6)
        for spread in (0.1, 0.3, 0.55):
            sheet.stroke(curve(fork - (0.07, -0.01 * side), np.pi - spread * side, 0.12), 0.007, 0.4)
        shoulder, heading = (0.37, 0.6 * breadth * side), side * rng.uniform(0.9, 1.7)
        sheet.stroke(curve(shoulder, heading, 0.75, side * rng.uniform(0.4, 1.3)), 0.017, 0.45)
    for foot in np.add(body[6:34:4], (0, breadth * 0.7)):
        sheet.stroke(curve(foot, rng.uniform(1.8, 2.5), rng.uniform(0.1, 0.18), 0.5), 0.013, 0.35)


def draw_arrow_worm(sheet, rng):
    """Draws a chaetognath: glassy body, gut, fins, hooks."""
    bend, breadth = rng.normal(0, 0.45), rng.uniform(0.032, 0.045)
    body = curve((-0.5, 0), -bend / 2, 1.0, bend)
    profile = breadth * np.clip(np.minimum(0.5 + PLACE * 6, (1.04 - PLACE) * 2.6), 0.05, 1)
    for part in (slice(15, 25), slice(27, 37)):  # the two pairs of fins
        sheet.fill(ribbon(body[part], profile[part] * (1 + 0.9 * np.sin(np.linspace(0, np.pi, 10)))), 0.09, 1.5)
    sheet.fill(ribbon(body, profile), rng.uniform(0.10, 0.18), 1.5, rim=(0.006, 0.28))
    sheet.stroke(body[2:29], 0.016, 0.30, 2)  # the gut
    for side in (-1, 1):
        sheet.fill(ribbon(np.add(body[24:29], (0, side * breadth * 0.45)), breadth * 0.35), 0.4, 2)  # the ovaries
    sheet.grain(0.25, 0.02)
    sheet.fill(oval(body[0], 0.034, 0.026), 0.9, 1.5)
    for spread in np.linspace(-0.9, 0.9, 6):  # the hooks that catch its prey
        sheet.stroke(curve(body[0], np.pi + spread, 0.055, -spread), 0.006, 0.6)
    for spread in np.linspace(-0.4, 0.4, 9):  # the tail fin
        sheet.stroke(curve(body[-3], bend / 2 + spread, 0.07), 0.006, 0.2)


def draw_egg(sheet, rng):
    """Draws a fish egg: a clear shell around a yolk."""
    sheet.fill(oval((0, 0), 0.5, 0.48), 0.22, 1.5, rim=(0.06, 0.35))
    sheet.fill(oval(rng.normal(0, 0.04, 2), rng.uniform(0.26, 0.36), 0.3), 0.55, 2.5)
    sheet.grain(0.15, 0.1)


def draw_jelly(sheet, rng):
    """Draws a hydromedusa from the side: bell, canals, stomach, tentacles."""
    height = rng.uniform(0.6, 0.95)
    bell = np.stack([0.5 * np.cos(np.pi * PLACE), 0.3 - height * np.sin(np.pi * PLACE) ** 0.7], axis=1)
    sheet.fill(bell, 0.13, 2.5)
    sheet.grain(0.5, 0.08)
    sheet.stroke(bell, 0.022, 0.30)
    sheet.stroke(np.add(bell * (0.78, 0.7), (0, 0.09)), 0.012, 0.18)
    top = 0.3 - height
    for x in 0.48 * np.cos(np.linspace(0.4, 2.7, rng.integers(4, 8))):  # canals from the top to the rim
        sheet.stroke([(0, top), (x * 0.8, top + 0.4 * height), (x, 0.3)], 0.014, 0.22)
    for x, radius in ((-0.16, 0.07), (0, 0.12), (0.16, 0.07)):  # the stomach between two gonads
        sheet.fill(oval((x, top + 0.5 * height), 0.065, radius), 0.45, 2.5)
    for x in np.linspace(-0.48, 0.48, rng.integers(9, 17)):
        sheet.fill(oval((x, 0.3), 0.022, 0.022), 0.6, 1.2)
        waves = 0.6 * np.sin(PLACE * rng.uniform(5, 10) + rng.uniform(0, 6))
        sheet.stroke(curve((x, 0.3), np.pi / 2 - x * 0.6, rng.uniform(0.2, 0.55), waves), 0.011, 0.28)


def draw_appendicularian(sheet, rng):
    """Draws an appendicularian: a dark trunk on a clear waving tail."""
    waves = rng.uniform(0.5, 1.0) * np.sin(PLACE * rng.uniform(4, 7) + rng.uniform(0, 6))
    tail = curve((-0.3, 0), 0, 0.95, waves)
    fin = ribbon(tail, 0.06 * np.sin(np.pi * (0.08 + 0.9 * PLACE)) ** 0.5)
    sheet.fill(fin, 0.16, 1.5, rim=(0.008, 0.16))
    sheet.fill(ribbon(tail, 0.022 * (1.05 - PLACE)), 0.45, 1.2)
    sheet.fill(oval((-0.36, 0), 0.13, 0.085), 0.5, 1.5)
    sheet.grain(0.2, 0.04)
    sheet.fill(oval((-0.29, 0.01), 0.05, 0.045), 0.8, 1.5)


def draw_diatom_chain(sheet, rng):
    """Draws glassy cells in a row, with spines from their corners, as *Chaetoceros*."""
    cells = rng.integers(7, 14)
    axis = curve((-0.5, 0), -0.1, 1.0, rng.normal(0, 0.35))
    directions = np.gradient(axis, axis=0)
    for place in np.linspace(1, 38, cells):
        middle, along = (
            np.array([np.interp(place, range(40), column) for column in line.T]) for line in (axis, directions)
        )
        along = along / np.linalg.norm(along)
        across = np.array([-along[1], along[0]])
        half, breadth = along * (0.42 / cells), across * 0.04
        corners = [middle + half + breadth, middle + half - breadth, middle - half - breadth, middle - half + breadth]
        sheet.fill([*corners, corners[0]], 0.22, 1.2, rim=(0.012, 0.35))
        sheet.fill(oval(middle + rng.normal(0, 0.004, 2), 0.5 * np.linalg.norm(half), 0.018), 0.5, 1.2)
        for side in (-1, 1):
            heading = np.arctan2(along[1], along[0]) + side * rng.uniform(1.1, 2.0)
            sheet.stroke(curve(middle + side * breadth, heading, rng.uniform(0.1, 0.18), -0.4 * side), 0.006, 0.3)
    sheet.grain(0.15, 0.03)


def draw_detritus(sheet, rng):
    """Draws a ragged flake of detritus."""
    shape = sheet.absorbance.shape
    row, column = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    sizes = ((sheet.length * 0.25, 0.33), (sheet.length * 0.08, 0.21), (5, 0.18), (2.5, 0.15))
    ragged = sum(weight * clouds(rng, shape, cell) for cell, weight in sizes)
    thick = np.clip(0.9 + ragged - 2.2 * np.hypot(row, column * rng.uniform(1, 1.9)), 0, 0.9) * rng.uniform(0.5, 0.9)
    sheet.absorbance[:] = cv2.GaussianBlur(thick * np.exp(0.5 * clouds(rng, shape, 3)), (0, 0), 0.8)


def draw_fibre(sheet, rng):
    """Draws a waving fibre."""
    waves = rng.normal(0, 0.8) * np.sin(PLACE * rng.uniform(2, 6) + rng.uniform(0, 6)) + rng.normal(0, 0.9) * PLACE
    sheet.stroke(curve((-0.5, 0), 0, 1.0, waves), rng.uniform(2.5, 5) / sheet.length, rng.uniform(0.45, 1.0))


def draw_pellet(sheet, rng):
    """Draws a faecal pellet."""
    axis = curve((-0.5, 0), 0, 1.0, rng.normal(0, 0.3))
    sheet.fill(ribbon(axis, rng.uniform(0.12, 0.18)), rng.uniform(0.7, 1.5), 1.2)


def draw_bubble(sheet, rng):
    """Draws an air bubble: a dark ring."""
    rim = rng.uniform(3, 6) / sheet.length, rng.uniform(0.6, 1.3)
    sheet.fill(oval((0, 0), 0.5, 0.5), -0.03, 1.5, rim)
