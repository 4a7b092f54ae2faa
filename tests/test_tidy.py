"""tidy: the same table as CSV and as Parquet."""

import csv

import pytest
from pyarrow import parquet

from plankton_keras.tidy import guarded, unguarded, write_csv, write_parquet

ROWS = [
    {"sample": "s, 1", "living": True, "objects": 3, "value": 0.5, "high": None, "adjusted": None},
    {"sample": "t", "living": False, "objects": 0, "value": 0.0, "high": 2.0, "adjusted": None},
]


def test_csv(tmp_path):
    write_csv(tmp_path / "table.csv", ROWS)
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["sample", "living", "objects", "value", "high", "adjusted"],
            ["s, 1", "True", "3", "0.5", "", ""],
            ["t", "False", "0", "0.0", "2.0", ""],
        ]


def test_parquet_keeps_types_and_what_is_not_known(tmp_path):
    write_parquet(tmp_path / "table.parquet", ROWS)
    table = parquet.read_table(tmp_path / "table.parquet")
    assert table.to_pylist() == ROWS
    assert [str(kind) for kind in table.schema.types] == ["string", "bool", "int64", "double", "double", "double"]
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+2", "'=1+2"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        # What has a guard already, or looks as if, gets another one, so that reading gives back what was written.
        ("'=1", "''=1"),
        ("''@", "'''@"),
        # Numbers compute nothing.
        ("-5", "-5"),
        ("+3.2e4", "+3.2e4"),
        ("'-5", "'-5"),
        ("a=b", "a=b"),
        ("'quoted'", "'quoted'"),
        ("", ""),
    ],
)
def test_what_a_spreadsheet_would_compute_is_guarded_and_comes_back(text, written):
    assert guarded(text) == written
    assert unguarded(written) == text


@pytest.mark.parametrize("value", [-5, -0.5, None, True])
def test_what_is_no_text_stays(value):
    assert guarded(value) is value


def test_a_table_is_guarded_but_parquet_which_no_spreadsheet_opens_is_not(tmp_path):
    rows = [{"sample": "=HYPERLINK(A1)", "value": -1.5}]
    write_csv(tmp_path / "table.csv", rows)
    assert (tmp_path / "table.csv").read_text() == "sample,value\n'=HYPERLINK(A1),-1.5\n"
    write_parquet(tmp_path / "table.parquet", rows)
    assert parquet.read_table(tmp_path / "table.parquet").to_pylist() == rows
