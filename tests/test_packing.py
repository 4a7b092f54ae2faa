"""packing: what is known of a sample, in EcoTaxa's columns."""

from plankton_keras.packing import parents_of, process_of
from plankton_keras.sample_tables import Fraction, Sample

PART = Fraction(scan="rg1", fraction="d1", sieve_min_um=1000, sub_part=4, sub_method="motoda")


def test_a_sample_stands_in_ecotaxas_columns():
    tow = Sample(
        sample="st12",
        fractions=(PART,),
        onboard_part=2,
        volume_m3=203.5,
        depth_min_m=312,
        depth_max_m=419,
        bottom_depth_m=4500,
        station="12",
        tow_number=2,
        tow_type="oblique",
        operator="somebody",
    )
    ids, parents = parents_of("rg1", tow, {"software": "plankton_keras"})
    assert ids == ("st12", "d1_st12", "plankton_rg1")
    known = parents["sample"]["st12"]
    assert (known["tot_vol"], known["zmin"], known["zmax"], known["bottomdepth"]) == (203.5, 312, 419, 4500)
    assert (known["stationid"], known["tow_nb"], known["tow_type"], known["scan_operator"]) == (
        "12",
        2,
        "oblique",
        "somebody",
    )
    # EcoTaxa multiplies by one number only.
    assert (parents["acq"]["d1_st12"]["sub_part"], parents["acq"]["d1_st12"]["lab_sub_part"]) == (8, 4)
    assert parents["process"] == {"plankton_rg1": {"software": "plankton_keras"}}


def test_a_scan_of_which_nothing_is_known_is_its_own_sample():
    ids, parents = parents_of("rg1", None, {})
    assert ids == ("rg1", "tot_rg1", "plankton_rg1")
    assert parents == {"sample": {"rg1": {}}, "acq": {"tot_rg1": {}}, "process": {"plankton_rg1": {}}}
    # EcoTaxa takes NA for nothing.
    assert parents_of("NA", None, {})[0] == ("scan_NA", "tot_NA", "plankton_NA")


def test_the_package_says_what_the_background_was():
    known = process_of({"model": "runs/unet", "model_sha256": "abc", "threshold": 0.4}, dpi=2400)
    assert known["img_background_img"] == "local_ground"
    assert (known["img_resolution"], round(known["particle_pixel_size_mm"], 7)) == (2400, 0.0105833)
    assert (known["model"], known["model_sha256"], known["model_threshold"]) == ("unet", "abc", 0.4)
