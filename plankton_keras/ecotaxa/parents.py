"""Samples, acquisitions and processes of a package: checked once each, and equal in all rows that name them."""

from plankton_keras.ecotaxa.rules import PARENTS, PIXEL_TOLERANCE
from plankton_keras.ecotaxa.values import number_of, wrong_value
from plankton_keras.images import pixel_mm


class Parents:
    """What is known of the parents of the rows so far; memory grows with their number, not with that of rows.

    Args:
        add: Called with `(rule, what, table, row, column)` for each problem.
    """

    def __init__(self, add):
        self.add = add
        # By prefix and id the values, and by acquisition the sample; each with the place of the first row.
        self._known, self._samples = {}, {}

    def look(self, header, row, values):
        """Checks the parents of a row.

        Args:
            header: The `ecotaxa.header.Header` of its table.
            row: Its number.
            values: Text by column.
        """
        for prefix in PARENTS:
            own = {name: values[name] for name in header.of(prefix)}
            if f"{prefix}_id" in own:
                self._look_at(header, row, prefix, own)
        sample, acquisition = values.get("sample_id"), values.get("acq_id")
        if sample and acquisition:
            known, place = self._samples.setdefault(acquisition, (sample, f"{header.table}, row {row}"))
            if known != sample:
                said = f"{acquisition} is of the sample {known} too: {place}"
                self.add("sample", said, header.table, row, "acq_id")

    def _look_at(self, header, row, prefix, own):
        """Checks a parent: all its values the first time, then that they are the same."""
        identifier = own[f"{prefix}_id"]
        if not identifier:
            self.add("id", "is empty", header.table, row, f"{prefix}_id")
            return
        known, place = self._known.setdefault((prefix, identifier), ({}, f"{header.table}, row {row}"))
        new = {name: value for name, value in own.items() if name not in known}
        known.update(new)
        for name, value in own.items():
            if name not in new and known[name] != value:
                said = f"is {value!r} for {identifier}, but {known[name]!r} in {place}"
                self.add("constant", said, header.table, row, name)
        for name, value in new.items():
            if wrong := wrong_value(name, value, name in header.numbers):
                self.add(*wrong, header.table, row, name)
        if new:
            for rule, column, what in _wrong_figures(new):
                self.add(rule, what, header.table, row, column)


def _wrong_figures(values):
    """Finds figures of a parent that give wrong concentrations or sizes: rule, column and what is wrong."""
    part, volume = number_of(values.get("acq_sub_part", "")), number_of(values.get("sample_tot_vol", ""))
    if part is not None and part < 1:
        yield "sub_part", "acq_sub_part", f"{part:g} is below 1"
    if volume is not None and volume <= 0 and volume != -9:
        yield "tot_vol", "sample_tot_vol", f"{volume:g} m3 is not above 0"
    dpi, pixel = (number_of(values.get(f"process_{name}", "")) for name in ("img_resolution", "particle_pixel_size_mm"))
    if dpi and pixel is not None and abs(pixel / pixel_mm(dpi) - 1) > PIXEL_TOLERANCE:
        said = f"{pixel:g} mm does not fit {dpi:g} dpi, which are {pixel_mm(dpi):.6g} mm"
        yield "pixel size", "process_particle_pixel_size_mm", said
