"""Commits appear whole, add up, and are never run again."""

import contextlib
import dataclasses
import shutil
import time
from pathlib import Path

import pytest

from pipeline.contract.errors import InputError, IntegrityError, UserError
from pipeline.engine.ledger import Commit, FileEntry, Ledger, add_counts
from pipeline.engine.progress import PlainProgress, open_progress
from pipeline.engine.runner import LocalRunner
from pipeline.engine.tasks import run_tasks

ENTRY = FileEntry(path="documents/part-00001.parquet", bytes=3, sha256="ab", rows=2)


@dataclasses.dataclass(frozen=True)
class Task:
    key: str
    out: Path


def test_a_commit_reads_back_as_written(tmp_path):
    commit = Commit(key="00001", files=(ENTRY,), counts={"read": 2}, seconds={"total": 0.5}, notes={"a": [1]})
    commit = Ledger(tmp_path, "extract").commit(commit)  # now with its times
    assert Ledger(tmp_path, "extract").committed() == {"00001": commit}
    assert commit.file("documents") == ENTRY
    assert commit.file("dropped") is None


def test_a_step_without_commits(tmp_path):
    assert Ledger(tmp_path, "extract").committed() == {}


def test_half_written_commits_are_not_seen(tmp_path):
    ledger = Ledger(tmp_path, "extract")
    ledger.commit(Commit(key="00001"))
    (ledger.folder / ".00002.json.123.tmp").write_text('{"key": "00')
    assert list(ledger.committed()) == ["00001"]


@pytest.mark.parametrize(("text", "error"), [("{", InputError), ('{"key": "1", "files": [], "x": 1}', IntegrityError)])
def test_a_broken_commit_is_named(tmp_path, text, error):
    ledger = Ledger(tmp_path, "extract")
    ledger.folder.mkdir(parents=True)
    (ledger.folder / "00001.json").write_text(text)
    with pytest.raises(error, match=r"00001\.json"):
        ledger.committed()


@pytest.mark.parametrize("name", ["/etc/passwd", "../other/part", "steps/../../part", ""])
def test_a_commit_names_no_file_outside_its_run(tmp_path, name):
    ledger = Ledger(tmp_path, "filter")
    ledger.commit(Commit(key="1", files=(FileEntry(path=name, bytes=1, sha256="0"),)))
    with pytest.raises(IntegrityError, match="names a file outside its run folder"):
        ledger.committed()


def test_counts_add_up():
    commits = {"a": Commit(key="a", counts={"read": 2, "kept": 1}), "b": Commit(key="b", counts={"read": 3})}
    assert add_counts(commits) == {"kept": 1, "read": 5}


def test_committed_tasks_are_not_run_again(tmp_path):
    ran = []

    def work(task):
        ran.append(task.key)
        return Ledger(task.out, "step").commit(Commit(key=task.key, counts={"read": 1}))

    tasks = [Task(key, tmp_path) for key in ("b", "a", "c")]
    Ledger(tmp_path, "step").commit(Commit(key="a", counts={"read": 1}))
    Ledger(tmp_path, "step").commit(Commit(key="other", counts={"read": 9}))
    commits = run_tasks(LocalRunner(), tmp_path, "step", work, tasks, PlainProgress(quiet=True))
    assert ran == ["b", "c"]
    assert list(commits) == ["a", "b", "c"]
    assert add_counts(commits) == {"read": 3}


def test_plain_progress_says_what_came_of_it(tmp_path, capsys):
    with PlainProgress().step("extract", 2, [Commit(key="a", counts={"read": 4, "kept": 1})]) as shown:
        shown.advance(Commit(key="b", counts={"read": 4, "kept": 3, "quarantined": 1}))
    line = capsys.readouterr().err
    assert line.startswith("extract: 2/2 tasks (1 from before), 8 read, 4 kept (50.0%), 1 quarantined, ")


def test_a_commit_has_the_time_of_its_task_and_of_no_other(tmp_path):
    def work(task):
        time.sleep(0.002)
        return Ledger(task.out, "step").commit(Commit(key=task.key))

    timed = run_tasks(LocalRunner(), tmp_path, "step", work, [Task("a", tmp_path)], PlainProgress(quiet=True))["a"]
    assert timed.wall_seconds > 0
    taken_over = Commit(key="b", cpu_seconds=7.0, wall_seconds=8.0)
    assert Ledger(tmp_path, "step").commit(taken_over) == taken_over
    assert Ledger(tmp_path, "step").replace(timed) == timed


def test_the_log_keeps_every_run_and_how_it_ended(tmp_path):
    log = tmp_path / "logs" / "build.log"
    for fails in (True, False):
        with contextlib.suppress(ValueError), open_progress(quiet=True, log=log) as progress:
            with progress.step("extract", 2, [Commit(key="a", counts={"read": 4, "kept": 1})]) as shown:
                shown.advance(Commit(key="b", counts={"read": 1, "kept": 1}))
            if fails:
                raise ValueError("the disk is on fire")
    lines = [line.partition(" ")[2] for line in log.read_text().splitlines()]
    assert [line.split(",")[0] for line in lines] == [
        "begun", "extract: 2/2 tasks (1 from before)", "ended: ValueError: the disk is on fire",
        "begun", "extract: 2/2 tasks (1 from before)", "ended well",
    ]  # fmt: skip
    assert "5 read, 2 kept (40.0%)" in lines[1]


def test_a_run_folder_taken_away_is_told_in_one_line(tmp_path):
    with (
        pytest.raises(UserError, match=r"build\.log: cannot be written: No such file"),
        open_progress(True, tmp_path / "logs" / "build.log"),
    ):
        shutil.rmtree(tmp_path / "logs")
