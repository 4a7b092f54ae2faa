"""zooprocess_metadata: ZooProcess' own text to the same samples."""

import datetime

import pytest

from plankton_keras.errors import InputError
from plankton_keras.sample_tables import Fraction, Sample
from plankton_keras.zooprocess_metadata import read_metadata

LINES = {
    "SampleId": "cruise_st12",
    "Scanop": "somebody",
    "Ship": "thalassa",
    "Scientificprog": "cruise",
    "StationId": "12",
    "Date": "20230626-0828",
    "Latitude": "47.5076",
    "Longitude": "15.2622",
    "Depth": "4500",
    "Townb": "2",
    "Towtype": "1",
    "Nettype": "wp2",
    "Netmesh": "200",
    "Netsurf": "0.25",
    "Zmax": "419",
    "Zmin": "312",
    "Vol": "203.5",
    "FracId": "d1",
    "Fracmin": "1000",
    "Fracsup": "999999",
    "Fracnb": "4",
    "SubMethod": "motoda",
    "Sample_comment": "calm = nice",
}


def write(folder, scan="cruise_st12_d1_1", **changes):
    folder.mkdir(exist_ok=True)
    lines = [f"{key}= {value}" for key, value in (LINES | changes).items() if value is not None]
    (folder / f"{scan}_meta.txt").write_bytes("\r\n".join(["[Sample]", *lines, ""]).encode("latin-1"))


def test_metadata_become_a_sample(tmp_path):
    write(tmp_path / "raw")
    samples, warnings = read_metadata(tmp_path, ["cruise_st12_d1_1"])
    assert warnings == []
    part = Fraction(scan="cruise_st12_d1_1", fraction="d1", sieve_min_um=1000, sub_part=4, sub_method="motoda")
    assert samples == [
        Sample(
            sample="cruise_st12",
            fractions=(part,),
            volume_m3=203.5,
            net="wp2",
            net_mesh_um=200,
            net_surface_m2=0.25,
            latitude=47.846,
            longitude=-15.437,
            date=datetime.date(2023, 6, 26),
            time=datetime.time(8, 28),
            depth_min_m=312,
            depth_max_m=419,
            ship="thalassa",
            program="cruise",
            station="12",
            bottom_depth_m=4500,
            tow_number=2,
            tow_type="1",
            operator="somebody",
            comment="calm = nice",
        )
    ]
    assert round(samples[0].weight(part), 7) == 0.0196560


def test_fractions_are_joined_and_letters_of_windows_are_read(tmp_path):
    write(tmp_path, "a_d1_1", Ship="téthys")
    write(tmp_path, "a_d2_1", Ship="téthys", FracId="d2", Fracmin="200", Fracsup="1000", Fracnb="16")
    (sample,), _ = read_metadata(tmp_path)
    assert [(part.fraction, part.sub_part, part.sieve_max_um) for part in sample.fractions] == [
        ("d1", 4, None),
        ("d2", 16, 1000),
    ]
    assert sample.ship == "téthys"


def test_south_and_east(tmp_path):
    write(tmp_path, Latitude="-33.3000", Longitude="-0.1500")
    (sample,), _ = read_metadata(tmp_path)
    assert (sample.latitude, sample.longitude) == (-33.5, 0.25)


def test_what_stands_for_nothing_is_missing(tmp_path):
    write(
        tmp_path,
        Depth="99999",
        Vol="999999",
        Zmin="9999",
        Zmax="99999",
        Netmesh="-9",
        Latitude="nan",
        Longitude="99999",
        Date="",
    )
    (sample,), warnings = read_metadata(tmp_path)
    assert (sample.volume_m3, sample.depth_range, sample.net_mesh_um, sample.latitude) == (None, None, None, None)
    assert (sample.longitude, sample.date, sample.time, sample.bottom_depth_m) == (None, None, None, None)
    assert warnings == [
        "The sample cruise_st12 has no volume_m3: neither abundance nor biovolume in a cubic metre.",
        "The sample cruise_st12 has no range of depths: nothing per square metre.",
    ]


def test_all_problems_are_said_at_once_by_file_and_column(tmp_path):
    write(tmp_path, "a", Latitude="47.7500", Fracnb=None)
    write(tmp_path, "b", Vol="much", FracId="d2", SampleId="other", Date="26 June")
    with pytest.raises(InputError) as caught:
        read_metadata(tmp_path, ["a", "b", "c"])
    assert str(caught.value) == (
        f"{tmp_path}:\n"
        "  a_meta.txt, latitude: 47.7500 has 75 minutes; degrees.minutes have less than 60.\n"
        "  a_meta.txt, sub_part: there is no value.\n"
        "  b_meta.txt, volume_m3: 'much' is no number.\n"
        "  b_meta.txt, date: '26 June' is no date such as 2023-06-26.\n"
        "  there is nothing on the scan c.\n"
        "Expected: a row for each scan, in the columns of `plankton measure --template`.\n"
        "Fix: correct the metadata in ZooProcess; docs/ecology.md says what each column means."
    )


@pytest.mark.parametrize("text", ["Infinity", "-inf", "sNaN", "-nan", "47N"])
def test_a_position_that_is_no_finite_number_is_refused(tmp_path, text):
    write(tmp_path, "a", Latitude=text)
    with pytest.raises(InputError, match=f"\n  a_meta.txt, latitude: '{text}' is no number.\n"):
        read_metadata(tmp_path)


def test_a_folder_without_metadata_is_said(tmp_path):
    with pytest.raises(InputError) as caught:
        read_metadata(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no *_meta.txt.\n"
        "Expected: the metadata that ZooProcess writes beside raw scans.\n"
        "Fix: name the folder that holds them, or a samples.csv."
    )
