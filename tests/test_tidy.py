"""tidy: the same table as CSV and as Parquet."""

import csv

from pyarrow import parquet

from plankton_keras.tidy import write_csv, write_parquet

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
