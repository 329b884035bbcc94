"""Inputs of a finished run, wherever they are by now."""

import json
from pathlib import Path

import pytest
from run_records import run_record

from pipeline.contract.errors import InputError
from pipeline.contract.run import InputFile
from pipeline.sources.reopen import InputReader, UnreachableInput, locate_input


@pytest.fixture
def rows(tmp_path) -> Path:
    path = tmp_path / "was" / "rows.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"id": name, "text": f"text of {name}"}) + "\n" for name in "ab"))
    return path


def given(path: Path, **fields) -> InputFile:
    return InputFile(**{"path": "was/rows.jsonl", "absolute": str(path), "bytes": path.stat().st_size, **fields})


def test_an_input_is_read_where_it_was_whatever_the_folder_is_now(rows, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert locate_input(given(rows)) == str(rows)


def test_a_file_of_the_same_size_at_the_path_as_given_stands_for_one_that_is_gone(rows, tmp_path, monkeypatch):
    moved = given(rows)
    monkeypatch.chdir(tmp_path)
    rows.rename(tmp_path / "kept")
    with pytest.raises(UnreachableInput, match=r"was/rows\.jsonl: cannot be reached"):
        locate_input(moved)
    (tmp_path / "was/rows.jsonl").write_bytes((tmp_path / "kept").read_bytes())
    assert locate_input(moved) == str(rows)  # the same folder again
    other = given(rows, absolute="/none/rows.jsonl")
    assert locate_input(other) == "was/rows.jsonl"
    (tmp_path / "was/rows.jsonl").write_bytes(b"shorter")
    with pytest.raises(UnreachableInput, match=r"cannot be reached \(/none/rows\.jsonl"):
        locate_input(other)


def test_records_are_found_by_their_pointers_and_lost_inputs_are_counted(rows):
    gone = InputFile(path="gone.jsonl", absolute="/none/gone.jsonl", bytes=3)
    reader = InputReader(run_record(inputs=(given(rows), gone)))
    assert reader.read("was/rows.jsonl", 0, "a").text == "text of a"
    assert reader.describe_unreachable() == ""
    for _ in range(2):
        with pytest.raises(UnreachableInput):
            reader.read("gone.jsonl", 0, "a")
    assert reader.describe_unreachable().startswith("; 1 input cannot be reached: gone.jsonl (/none/gone.jsonl")
    with pytest.raises(InputError, match="is no input of this run"):
        reader.read("/etc/passwd", 0, "a")
