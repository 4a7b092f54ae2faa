"""sample_columns and sample_tables: samples.csv, read and checked."""

import datetime
import re
from pathlib import Path

import pytest

from plankton_keras.errors import InputError
from plankton_keras.sample_columns import COLUMNS, template
from plankton_keras.sample_tables import Fraction, Sample, read_samples

HEADER = "scan,sample,fraction,sub_part,volume_m3,latitude,longitude,date,depth_min_m,depth_max_m\n"


def table(folder, text):
    path = folder / "samples.csv"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder, text, stems=None):
    with pytest.raises(InputError) as caught:
        read_samples(table(folder, text), stems)
    head, *lines = caught.value.what.split("\n  ")
    assert head == f"{folder / 'samples.csv'}:"
    assert caught.value.expected == "a row for each scan, in the columns of `plankton measure --template`."
    assert caught.value.fix == "correct the table; docs/ecology.md says what each column means."
    return lines


def test_the_template_is_read_back(tmp_path):
    samples, warnings = read_samples(table(tmp_path, template()), ["station66_d1"])
    assert warnings == []
    part = Fraction(scan="station66_d1", fraction="d1", sieve_min_um=1000, sub_part=8, sub_method="motoda")
    assert samples == [
        Sample(
            sample="station66",
            fractions=(part,),
            onboard_part=2,
            volume_m3=407,
            net="bioness",
            net_mesh_um=200,
            net_surface_m2=1,
            latitude=47.846,
            longitude=-15.437,
            date=datetime.date(2023, 6, 26),
            time=datetime.time(8, 28),
            depth_min_m=312,
            depth_max_m=419,
            ship="thalassa",
            program="apero",
            station="66",
            bottom_depth_m=4000,
            tow_number=1,
            tow_type="oblique",
        )
    ]
    # Half of the catch, and of that an eighth.
    assert samples[0].weight(part) == 16 / 407
    assert samples[0].depth_range == 107


def test_the_template_says_what_each_column_means():
    lines = template().splitlines()
    assert lines[-2] == ",".join(COLUMNS)
    assert [line.split(":")[0] for line in lines[:-2]] == [f"# {name}" for name in COLUMNS]


def test_the_page_describes_each_column():
    page = (Path(__file__).resolve().parents[1] / "docs" / "ecology.md").read_text()
    rows = re.findall(r"^\| (`[a-z_0-9`, ]+`) \|", page.split("## Abundance")[0], re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"\w+", row)] == list(COLUMNS)


def test_fractions_of_a_sample_belong_together(tmp_path):
    rows = "a,one,d1,2,100,,,,0,50\nc,two,,1,80,,,,,\nb,one,d2,16,100,,,,0,50\n,,,,,,,,,\n"
    samples, warnings = read_samples(table(tmp_path, HEADER + rows))
    assert [(each.sample, [part.scan for part in each.fractions]) for each in samples] == [
        ("one", ["a", "b"]),
        ("two", ["c"]),
    ]
    assert [part.sub_part for part in samples[0].fractions] == [2, 16]
    assert warnings == ["The sample two has no range of depths: nothing per square metre."]


def test_what_a_spreadsheet_saves_is_read(tmp_path):
    text = '\ufeff"# scan: the stem, without suffix",,\nscan,sample,sub_part,volume_m3,date\na, s ,4,1e2,20230626\n'
    samples, _ = read_samples(table(tmp_path, text))
    assert (samples[0].sample, samples[0].volume_m3, samples[0].date) == ("s", 100, datetime.date(2023, 6, 26))


def test_all_problems_of_cells_are_said_at_once_by_row_and_column(tmp_path):
    rows = (
        "a,s,d1,0.5,0,91,-15,2023-13-01,300,200\n"
        "b,,d1,two,999999,47,-181,2023-06-26,-1,9999\n"
        "c,t,d1,,inf,0,0,1023-06-26,10,\n"
    )
    assert problems(tmp_path, HEADER + rows) == [
        "row 2, sub_part: 0.5 is not 1 or more.",
        "row 2, volume_m3: 0 is not above 0.",
        "row 2, latitude: 91 is not between -90 and 90.",
        "row 2, date: '2023-13-01' is no date such as 2023-06-26.",
        "row 2: depth_min_m 300 is more than depth_max_m 200.",
        "row 3, sample: there is no value.",
        "row 3, sub_part: 'two' is no number.",
        "row 3, volume_m3: 999999 stands for a missing value; leave the cell empty.",
        "row 3, longitude: -181 is not between -180 and 180.",
        "row 3, depth_min_m: -1 is not between 0 and 11000.",
        "row 3, depth_max_m: 9999 stands for a missing value; leave the cell empty.",
        "row 4, sub_part: there is no value.",
        "row 4, volume_m3: inf is not above 0.",
        "row 4, date: 1023-06-26 is not between 1800-01-01 and today.",
        "row 4: one of depth_min_m and depth_max_m without the other.",
        "row 4: latitude and longitude 0 stand for a missing position; leave the cells empty.",
    ]


@pytest.mark.parametrize("text", ["202311", "2023111", "2023"])
def test_digits_that_could_be_several_dates_are_none(tmp_path, text):
    # Python takes 202311 for 2023-01-01, and 2023111 for one of two days.
    said = f"row 2, date: {text!r} is no date such as 2023-06-26."
    assert problems(tmp_path, HEADER + f"a,s,d1,4,1,47,15,{text},0,50\n") == [said]


@pytest.mark.parametrize("sentinel", ["99999", "999999", "9999", "-9", "9999.0"])
def test_numbers_that_stand_for_nothing_are_no_numbers(tmp_path, sentinel):
    rows = f"a,s,d1,4,{sentinel},47,15,,0,50\n"
    assert f"row 2, volume_m3: {sentinel} stands for a missing value; leave the cell empty." in problems(
        tmp_path, HEADER + rows
    )


def test_nine_degrees_west_is_a_place(tmp_path):
    samples, _ = read_samples(table(tmp_path, HEADER + "a,s,d1,4,100,-9,-9,,0,50\n"))
    assert (samples[0].latitude, samples[0].longitude) == (-9, -9)


@pytest.mark.parametrize("missing", ["nan", "NA"])
def test_what_stands_for_no_value_is_no_value_of_a_required_column(tmp_path, missing):
    assert problems(tmp_path, HEADER + f"a,s,d1,{missing},{missing},,,,0,50\n") == [
        "row 2, sub_part: there is no value."
    ]


def test_half_of_a_position_or_of_a_range_is_none(tmp_path):
    assert problems(tmp_path, "scan,sample,sub_part,volume_m3,depth_max_m,latitude\na,s,4,100,50,47\n") == [
        "row 2: one of depth_min_m and depth_max_m without the other.",
        "row 2: one of latitude and longitude without the other.",
    ]


def test_times_are_checked(tmp_path):
    text = "scan,sample,sub_part,volume_m3,time\na,s,4,100,8h28\n"
    assert problems(tmp_path, text) == ["row 2, time: '8h28' is no time such as 08:28."]


def test_names_of_columns_that_are_nearly_right(tmp_path):
    assert problems(tmp_path, "scan,sampel,sub_part,lattitude,cruise\na,s,4,47,x\n")[:4] == [
        "the column 'sampel' is not known. Did you mean \"sample\"?",
        "the column 'lattitude' is not known. Did you mean \"latitude\"?",
        "there is no column 'sample'. Did you mean \"sampel\"?",
        "there is no column 'volume_m3'.",
    ]
    assert problems(tmp_path, "scan;sample;sub_part\n")[0] == "its cells are separated by semicolons instead of commas."
    assert problems(tmp_path, "scan,scan,sample,sub_part,volume_m3\na,a,s,1,1\n") == [
        "the column scan stands there twice."
    ]
    assert problems(tmp_path, "scan,sample,sub_part,volume_m3\na,s,1,1,5\n") == ["row 2 has more cells than columns."]
    assert problems(tmp_path, "scan,sample,sub_part,volume_m3\n") == ["there is no sample."]


def test_columns_of_others_are_left_to_them(tmp_path):
    samples, _ = read_samples(table(tmp_path, "scan,day,sample,sub_part,volume_m3,tide\na,1,s,4,100,low\n"))
    assert samples[0].sample == "s"


def test_rows_of_a_sample_agree(tmp_path):
    rows = "a,s,d1,4,100,,,,0,50\nb,s,d2,8,101,,,,0,\nb,s,d2,8,100,,,,0,50\n"
    assert problems(tmp_path, HEADER + rows) == [
        "row 3: one of depth_min_m and depth_max_m without the other.",
        "row 4, scan: b stands in row 3 too.",
        "row 4, fraction: the sample s has d2 in row 3 too.",
        "row 3, volume_m3: 101, but 100 in row 2, which is of the same sample.",
        "row 3, depth_max_m: nothing, but 50 in row 2, which is of the same sample.",
    ]
    assert problems(tmp_path, "scan,sample,sub_part,volume_m3\na,s,4,100\nb,s,4,100\n") == [
        "row 3, fraction: the sample s has another scan in row 2; both need a fraction."
    ]
    # In EcoTaxa a scan without a fraction is tot: with another part of the water it would be that acquisition too.
    assert problems(tmp_path, "scan,sample,fraction,sub_part,volume_m3\na,s,,4,100\nb,s,tot,8,100\n") == [
        "row 3, fraction: the sample s has another scan in row 2; both need a fraction."
    ]


def test_fractions_of_two_samples_that_would_be_one_acquisition_of_ecotaxa_are_refused(tmp_path):
    head = "scan,sample,fraction,sub_part,volume_m3\n"
    assert problems(tmp_path, head + "a,X,d2_1,4,100\nb,1_X,d2,8,50\nc,X,d1,4,100\n") == [
        "row 3, fraction: with the sample 1_X it makes the acquisition d2_1_X of EcoTaxa, as row 2 does with the "
        "sample X."
    ]
    assert problems(tmp_path, head + "a,s,a_tot,4,100\nb,tot_s,a,8,50\n") == [
        "row 3, fraction: with the sample tot_s it makes the acquisition a_tot_s of EcoTaxa, as row 2 does with the "
        "sample s."
    ]


def test_a_scan_may_have_any_name_that_predict_takes(tmp_path):
    long = 229 * "x"
    (sample,), _ = read_samples(table(tmp_path, f"scan,sample,sub_part,volume_m3\n{long},s,4,100\n"), [long])
    assert sample.fractions[0].scan == long


def test_names_that_ecotaxa_would_take_for_none_or_not_at_all_are_refused(tmp_path):
    head = "scan,sample,sub_part,volume_m3,ship,comment\n"
    long = 121 * "x"
    assert problems(tmp_path, f"{head}a,NA,4,100,,\nb,t,4,100,{long},{3 * long}\n") == [
        "row 2, sample: 'NA' stands for a missing value, also for EcoTaxa; name it.",
        "row 3, ship: it has 121 characters, more than 120.",
    ]


def test_scans_and_rows_belong_together(tmp_path):
    text = HEADER + "a,s,d1,4,100,,,,0,50\nold,s,d2,4,100,,,,0,50\n"
    assert problems(tmp_path, text, ["a", "b", "c"]) == ["there is nothing on the scans b, c."]
    assert read_samples(table(tmp_path, text), ["a"])[1] == [
        "The metadata also have rows of the scan old: not among these scans."
    ]


def test_a_table_that_is_not_there_is_said_with_the_command_that_prints_one(tmp_path):
    with pytest.raises(InputError) as caught:
        read_samples(tmp_path / "samples.csv")
    assert str(caught.value) == (
        f"{tmp_path / 'samples.csv'} does not exist.\nExpected: a CSV file in UTF-8.\n"
        "Fix: check the path; `plankton measure --template` prints a table to fill in."
    )


def test_what_makes_figures_impossible_or_double_is_warned_of(tmp_path):
    rows = "a,s,tot,4,,,,,7,7\nb,s,d2,4,,,,,7,7\n"
    assert read_samples(table(tmp_path, HEADER + rows))[1] == [
        "The sample s has no volume_m3: neither abundance nor biovolume in a cubic metre.",
        "The sample s has no range of depths: nothing per square metre.",
        "The sample s has a fraction tot beside others: animals in both count twice.",
    ]


def test_many_problems_are_counted(tmp_path):
    rows = "".join(f"s{index},s{index},d1,0,100,,,,0,50\n" for index in range(40))
    found = problems(tmp_path, HEADER + rows)
    assert len(found) == 31
    assert found[-1] == "and 10 more."


def test_samples_of_nearly_one_name_are_named(tmp_path):
    rows = [
        f"{scan},{name},d{scan},4,200,,,,0,50"
        for scan, name in zip("abcde", ("St 6", "st_6", "ST-6", "st6", "t"), strict=True)
    ]
    samples, warnings = read_samples(table(tmp_path, HEADER + "\n".join(rows)))
    assert len(samples) == 5
    assert warnings == [
        "The samples St 6, st_6, ST-6 differ by capitals and signs only: scans of one sample need one name, or each "
        "counts as a sample of its own."
    ]
