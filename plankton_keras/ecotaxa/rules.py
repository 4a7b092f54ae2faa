"""What EcoTaxa takes, as data: names, limits, the header of a ZooScan, and the rules that a package is checked by.

Sources: ecotaxa_back (Bundle.py, TSVFile.py, Mappings.py, Object.py, Image.py), EcoTaxa's help on preparing data, and
for the header an object of ZooProcess.
"""

import re

# A table is found by its name, lower case only (Bundle.py).
TABLE_NAME = re.compile(r"ecotaxa.*\.(tsv|txt)")
MAX_TABLES = 2000
NUMBER, TEXT = "[f]", "[t]"
PREFIXES = ("img", "object", "acq", "process", "sample")
PARENTS = ("process", "acq", "sample")
# Columns that have a place of their own; all others are free ones. Numbers are numbers whatever the types row says.
PLACED_NUMBERS = (
    *("img_rank", "object_lat", "object_lon", "object_depth_min", "object_depth_max"),
    "object_annotation_category_id",
)
PLACED_TEXTS = (
    *("img_file_name", "object_id", "object_link", "object_date", "object_time"),
    *("object_annotation_category", "object_annotation_date", "object_annotation_time"),
    *("object_annotation_person_name", "object_annotation_person_email", "object_annotation_status"),
    *("sample_id", "sample_dataportal_descriptor", "acq_id", "acq_instrument", "process_id"),
)
PLACED = frozenset(PLACED_NUMBERS + PLACED_TEXTS)
# Free columns that a project can have, by prefix and type; those of samples, acquisitions and processes are all text.
FREE = {
    ("object", NUMBER): 500,
    ("object", TEXT): 20,
    ("sample", TEXT): 60,
    ("acq", TEXT): 30,
    ("process", TEXT): 30,
}
TEXT_LENGTH = 250
MISSING = ("", "nan", "na")
STATUSES = ("predicted", "dubious", "validated", "discarded")
# A status of EcoTaxa's own that stands without a category.
NO_CATEGORY = "noid"
MAX_RANKS = 10
PICTURE_FORMATS, PICTURE_MODES = ("PNG", "JPEG", "GIF"), ("L", "LA", "P", "RGB", "RGBA")
MAX_SIDE = 20000
LATITUDE, LONGITUDE = 90, 180
# Deepest sounding of the Challenger Deep, rounded up, in m.
DEPTH = 11000
# Numbers that stand for "unknown" in metadata of ZooProcess.
SENTINELS = (99999, 999999, 9999, -9)
POSITIONS = ("object_lat", "object_lon", "object_depth_min", "object_depth_max", "object_lat_end", "object_lon_end")
PIXEL_TOLERANCE = 0.01


def _typed(prefix, text):
    """Splits `name[t] name[f] ...` into columns of a prefix, each with its type."""
    return {f"{prefix}_{word[:-3]}": word[-3:] for word in text.split()}


# The full header of a ZooScan in its order, types by column: 154 columns, without those of annotation.
HEADER = {
    **_typed("img", "file_name[t] rank[f]"),
    **_typed(
        "object",
        "id[t] lat[f] lon[f] date[t] time[t] link[t] depth_min[f] depth_max[f] lat_end[f] lon_end[f] "
        "area[f] mean[f] stddev[f] mode[f] min[f] max[f] x[f] y[f] xm[f] ym[f] perim.[f] bx[f] by[f] width[f] "
        "height[f] major[f] minor[f] angle[f] circ.[f] feret[f] intden[f] median[f] skew[f] kurt[f] %area[f] "
        "xstart[f] ystart[f] area_exc[f] fractal[f] skelarea[f] slope[f] histcum1[f] histcum2[f] histcum3[f] xmg5[f] "
        "ymg5[f] nb1[f] nb2[f] nb3[f] compentropy[f] compmean[f] compslope[f] compm1[f] compm2[f] compm3[f] "
        "symetrieh[f] symetriev[f] symetriehc[f] symetrievc[f] convperim[f] convarea[f] fcons[f] thickr[f] tag[f] "
        "esd[f] elongation[f] range[f] meanpos[f] centroids[f] cv[f] sr[f] perimareaexc[f] feretareaexc[f] "
        "perimferet[f] perimmajor[f] circex[f] cdexc[f]",
    ),
    **_typed(
        "process",
        "id[t] date[t] time[t] img_software_version[t] img_resolution[f] img_od_grey[f] img_od_std[f] "
        "img_background_img[t] particle_version[t] particle_threshold[f] particle_pixel_size_mm[f] "
        "particle_min_size_mm[f] particle_max_size_mm[f] particle_sep_mask[t] particle_bw_ratio[f] software[t]",
    ),
    **_typed(
        "acq",
        "id[t] min_mesh[f] max_mesh[f] sub_part[f] sub_method[t] hardware[t] software[t] author[t] imgtype[t] "
        "scan_date[t] scan_time[t] quality[t] bitpixel[f] greyfrom[f] scan_resolution[f] rotation[f] miror[f] "
        "xsize[f] ysize[f] xoffset[f] yoffset[f] lut_color_balance[t] lut_filter[t] lut_min[f] lut_max[f] "
        "lut_odrange[f] lut_ratio[f] lut_16b_median[f] instrument[t] scan_comment[t]",
    ),
    **_typed(
        "sample",
        "id[t] scan_operator[t] ship[t] program[t] stationid[t] bottomdepth[f] ctdrosettefilename[t] other_ref[t] "
        "tow_nb[f] tow_type[t] net_type[t] net_mesh[f] net_surf[f] zmax[f] zmin[f] tot_vol[f] comment[t] "
        "tot_vol_qc[f] depth_qc[f] sample_qc[f] barcode[t] duration[f] ship_speed[f] cable_length[f] cable_angle[f] "
        "cable_speed[f] nb_jar[f] dataportal_descriptor[t] open[t]",
    ),
}
ANNOTATION = ("object_annotation_category", "object_annotation_status")

# What `ecotaxa.lint` checks. An error is what EcoTaxa refuses, passes over or stores as something else; a warning is
# what it takes although the figures that come of it would be wrong.
ERROR, WARNING = "error", "warning"
RULES = {
    "package": (ERROR, "a folder or a whole .zip file"),
    "tables": (ERROR, "at least one table, at most 2000"),
    "table name": (ERROR, "ecotaxa*.tsv or ecotaxa*.txt, in lower case"),
    "encoding": (ERROR, "ASCII, Latin-1, or UTF-8 that starts with a byte order mark"),
    "header": (ERROR, "names PREFIX_NAME of the prefixes img, object, acq, process and sample, each once"),
    "mandatory": (ERROR, "img_file_name and object_id, and PREFIX_id where there is another column of that prefix"),
    "types": (ERROR, "a second row with [t] or [f] under each name, the same in all tables"),
    "free columns": (ERROR, "at most 500 [f] and 20 [t] of object, 60 of sample, 30 of acq and 30 of process"),
    "cells": (ERROR, "as many cells in each row as in the header"),
    "id": (ERROR, "no empty id"),
    "text": (ERROR, "at most 250 characters"),
    "number": (ERROR, "finite numbers in columns of [f]; empty, nan or na where missing"),
    "position": (ERROR, "latitudes within 90, longitudes within 180: decimal degrees, or ddd°MM SS"),
    "date": (ERROR, "YYYYMMDD or YYYY-MM-DD"),
    "time": (ERROR, "HHMM, HHMMSS, HH:MM:SS or HH:MM:SS.000"),
    "status": (ERROR, "predicted, dubious, validated or discarded, and a category with it"),
    "rank": (ERROR, "0 for the first image of an object, then 1 and so on, below 10"),
    "picture": (ERROR, "each image in the package, a whole PNG, JPEG or GIF of 8 bit, sides of at most 20000 px"),
    "twice": (ERROR, "an object with the same image once"),
    "fractions": (ERROR, "an object_id in one acquisition only"),
    "sample": (ERROR, "an acquisition in one sample only"),
    "constant": (ERROR, "equal values in all rows of a sample, an acquisition or a process"),
    "depth": (WARNING, "metres from 0 to 11000, the least depth not below the greatest"),
    "sentinel": (WARNING, "empty where unknown, not 99999, 999999, 9999 or -9"),
    "sub_part": (WARNING, "at least 1: the denominator of the part that was analysed"),
    "tot_vol": (WARNING, "above 0 m3"),
    "pixel size": (WARNING, "25.4 / process_img_resolution within 1 %, in mm"),
    "passed over": (WARNING, "tables and images that EcoTaxa reads"),
}
