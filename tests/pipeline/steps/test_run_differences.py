"""What two runs differ in, said so that one can act on it."""

from run_records import run_record

from pipeline.contract.run import InputFile
from pipeline.steps.run_differences import (
    input_changes,
    named_files,
    named_previous_runs,
    source_changes,
    without_input,
)


def item(path: str, sha256: str, size: int = 10) -> InputFile:
    return InputFile(path=path, bytes=size, sha256=sha256)


def test_inputs_that_are_gone_new_and_changed_are_named():
    old = [item("a", "1"), item("b", "2"), item("c", "3")]
    new = [item("b", "2"), item("c", "9", 12), item("d", "4")]
    assert input_changes(old, new) == [
        "input a is no longer there", "input d is new", "input c has changed (10 -> 12 bytes)",
    ]  # fmt: skip
    assert input_changes(old, old[::-1]) == []
    assert input_changes([item("a", "1")], [item("a", "2")]) == ["input a has changed (10 -> 10 bytes)"]


def test_the_patterns_of_inputs_do_not_count_but_how_they_are_read_does():
    tree = {"input": {"paths": ["x"], "listing": None, "dump": "d"}, "seed": 1}
    assert without_input(tree) == {"input": {"dump": "d"}, "seed": 1}
    assert tree["input"]["paths"] == ["x"]


def test_changed_code_of_stages_is_named_and_others_are_left_out():
    old = run_record(sources={"my.A": {"my.py": "1"}, "my.B": {"b.py": "1"}})
    new = run_record(sources={"my.A": {"my.py": "2"}, "my.B": {"b.py": "2"}})
    assert len(source_changes(old, new)) == 2
    [line] = source_changes(old, new, {"my.A"})
    assert "my.A" in line and "my.py" in line
    assert source_changes(old, run_record(sources={})) == []  # a change of the config


def test_files_are_found_wherever_a_config_names_them(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("x")
    tree = {"a": [{"files": [str(path)]}, "no file"], "b": str(tmp_path), "c": "x" * 5000, "d": "", "e": 3}
    assert list(named_files(tree)) == [path]


def test_previous_runs_are_those_of_dedup():
    assert named_previous_runs({"dedup": {"previous_runs": ["a", "b"]}}) == ("a", "b")
    assert named_previous_runs({"dedup": None}) == named_previous_runs({}) == ()
