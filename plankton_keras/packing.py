"""Measured objects as EcoTaxa takes them: what of a sample, a fraction and a run goes into which column."""

from pathlib import Path

from plankton_keras.ecotaxa.cells import is_missing
from plankton_keras.ecotaxa.package import PackageObject
from plankton_keras.ecotaxa.rules import MAX_SIDE
from plankton_keras.images import pixel_mm
from plankton_keras.measuring import AS_FOUND
from plankton_keras.naming import UNCLASSIFIED
from plankton_keras.runs import now, versions
from plankton_keras.sample_tables import acquisition_of
from plankton_keras.vignette_pictures import vignette


def parents_of(stem, sample, known):
    """Gives the columns of sample, acquisition and process of a scan.

    EcoTaxa reckons an object's concentration as `acq_sub_part / sample_tot_vol`: the part kept on board, which it has
    no column for, therefore stands in `acq_sub_part` too, and each factor in a free column of its own.

    Args:
        stem: Stem of the scan.
        sample: Its `sample_tables.Sample`, or None where nothing is known.
        known: What `process_of` gave.

    Returns:
        `(ids, parents)`: the names of sample, acquisition and process, and what `ecotaxa.package.write_packages` takes.
    """
    if sample is None:
        # EcoTaxa would take a sample NA for none.
        ids = f"scan_{stem}" if is_missing(stem) else stem, acquisition_of(stem, ""), f"plankton_{stem}"
        columns = {}, {}
    else:
        (part,) = (part for part in sample.fractions if part.scan == stem)
        ids = sample.sample, acquisition_of(sample.sample, part.fraction), f"plankton_{stem}"
        columns = _of_sample(sample), _of_fraction(part, sample)
    kinds = ("sample", "acq", "process")
    return ids, {kind: {each: values} for kind, each, values in zip(kinds, ids, (*columns, known), strict=True)}


def process_of(content, dpi=None, grouping=AS_FOUND):
    """Gives the `process_*` columns: what made the objects.

    Args:
        content: Dictionary of prediction.json.
        dpi: Resolution of the scan, or None.
        grouping: The `measuring.Grouping`.

    Returns:
        Values by name without prefix, for `parents_of`.
    """
    date, time = now().split("+")[0].split("T")
    return {
        "date": date.replace("-", ""),
        "time": time.replace(":", ""),
        "software": f"plankton_keras_{versions()['plankton_keras']}",
        "img_resolution": dpi,
        # Gray levels are those above the ground around each object, not above a scan without animals.
        "img_background_img": "local_ground",
        "particle_pixel_size_mm": pixel_mm(dpi),
        "model": Path(content["model"]).name,
        "model_sha256": content["model_sha256"],
        "model_threshold": content["threshold"],
        **grouping.said,
    }


def _of_sample(sample):
    return {
        "ship": sample.ship,
        "program": sample.program,
        "stationid": sample.station,
        "bottomdepth": sample.bottom_depth_m,
        "tow_nb": sample.tow_number,
        "tow_type": sample.tow_type,
        "scan_operator": sample.operator,
        "net_type": sample.net,
        "net_mesh": sample.net_mesh_um,
        "net_surf": sample.net_surface_m2,
        "zmin": sample.depth_min_m,
        "zmax": sample.depth_max_m,
        "tot_vol": sample.volume_m3,
        "comment": sample.comment,
        "onboard_part": sample.onboard_part,
    }


def _of_fraction(part, sample):
    return {
        "min_mesh": part.sieve_min_um,
        "max_mesh": part.sieve_max_um,
        "sub_part": part.sub_part * sample.onboard_part,
        "sub_method": part.sub_method,
        "imgtype": "zooscan",
        "lab_sub_part": part.sub_part,
    }


def package_object(each, ids, sample, pixel_mm=None):
    """Turns a measured object into one for EcoTaxa.

    Args:
        each: A `measuring.MeasuredObject`.
        ids: As `parents_of` gives them.
        sample: As for `parents_of`.
        pixel_mm: Side of a pixel in mm, or None.

    Returns:
        The `ecotaxa.package.PackageObject`, with status `predicted`.
    """
    place = {}
    if sample is not None:
        place = {"lat": sample.latitude, "lon": sample.longitude}
        place |= {"depth_min": sample.depth_min_m, "depth_max": sample.depth_max_m}
        place["date"] = sample.date.strftime("%Y%m%d") if sample.date else None
        place["time"] = sample.time.strftime("%H%M%S") if sample.time else None
    return PackageObject(
        name=f"{each.scan}_{each.label}",
        picture=vignette(each.gray, each.mask, pixel_mm),
        sample=ids[0],
        acquisition=ids[1],
        process=ids[2],
        category=None if each.taxon == UNCLASSIFIED else each.taxon,
        score=each.score,
        fields={**place, **each.measures, "cut_by_edge": int(each.cut), "multiple": int(each.multiple)},
    )


def fitting(packed, too_large):
    """Passes on the objects whose vignettes EcoTaxa takes.

    Args:
        packed: Iterable of `ecotaxa.package.PackageObject`.
        too_large: List to which the names of the others are added.

    Yields:
        The objects.
    """
    for each in packed:
        if max(each.picture.pixels.shape) > MAX_SIDE:
            too_large.append(each.name)
        else:
            yield each
