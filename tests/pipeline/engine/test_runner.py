"""Tasks on Ray: the same results as without it, errors as they were raised, dead workers replaced."""

import dataclasses
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from pipeline.contract.errors import InputError, UserError
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import RayRunner, open_runner
from pipeline.engine.settings import RaySettings, RunSettings
from pipeline.engine.tasks import run_tasks
from pipeline.storage.files import write_atomic


def double(number: int) -> int:
    """A task."""
    return 2 * number


def refuse(path: str) -> None:
    """A task that meets a user's mistake."""
    raise InputError(path, "cannot be read", hint="give another")


def die_once(marker: str) -> str:
    """A task whose worker is killed the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@dataclasses.dataclass(frozen=True)
class Write:
    """A task that writes one file."""

    key: str
    out: Path
    dies: bool = False
    """Its worker is killed the first time, after the file and before the commit."""
    sleeps: bool = False
    """It never ends the first time, with its file half written."""


def write(task: Write) -> Commit:
    """Do it, noting that it was begun."""
    with (task.out / "begun").open("a") as begun:
        begun.write(f"{task.key}\n")
    first = (task.out / "begun").read_text().split().count(task.key) == 1

    def fill(path: Path) -> None:
        path.write_text(task.key[:1])
        if task.sleeps and first:
            (task.out / "sleeps").write_text(str(os.getpid()))
            time.sleep(1000)
        path.write_text(task.key)

    info = write_atomic(task.out / "files" / task.key, fill)
    if task.dies and first:
        os.kill(os.getpid(), signal.SIGKILL)
    entry = FileEntry(path=f"files/{task.key}", bytes=info.bytes, sha256=info.sha256)
    return Ledger(task.out, "step").commit(Commit(key=task.key, files=(entry,), counts={"read": 1}))


@pytest.fixture(scope="module")
def ray_runner():
    """One local Ray of two workers for the whole module: starting one takes seconds."""
    with open_runner(RunSettings(workers=2)) as runner:
        yield runner


def test_every_result_arrives(ray_runner):
    assert sorted(ray_runner.map(double, list(range(20)))) == [2 * n for n in range(20)]
    assert list(ray_runner.map(double, [])) == []


def test_an_error_of_a_task_is_raised_as_it_was(ray_runner):
    with pytest.raises(InputError) as caught:
        list(ray_runner.map(refuse, ["a.warc"]))
    assert str(caught.value) == "a.warc: cannot be read\n  give another"


def test_a_killed_worker_is_replaced(ray_runner, tmp_path):
    assert list(ray_runner.map(die_once, [str(tmp_path / "marker")])) == ["done"]


def test_a_batch_whose_worker_is_killed_does_only_the_rest_again(ray_runner, tmp_path):
    tasks = [Write(key=f"{n:03d}", out=tmp_path, dies=n % 50 == 37) for n in range(200)]
    commits = run_tasks(ray_runner, tmp_path, "step", write, tasks, PlainProgress(quiet=True))
    assert list(commits) == [task.key for task in tasks]
    assert {path.name: path.read_text() for path in (tmp_path / "files").glob("[0-9]*")} == {
        key: key for key in commits
    }
    begun = (tmp_path / "begun").read_text().split()
    assert sorted(begun) == sorted([*commits, *(task.key for task in tasks if task.dies)])


def test_a_straggler_is_begun_again_and_its_loser_ends(ray_runner, tmp_path):
    settings = RunSettings(workers=2, ray=RaySettings(straggler_seconds=1.0))
    tasks = [Write(key=f"{n}", out=tmp_path, sleeps=n == 3) for n in range(8)]
    runner = RayRunner(settings, ray_runner.ray)
    commits = run_tasks(runner, tmp_path, "step", write, tasks, PlainProgress(quiet=True))
    assert list(commits) == [task.key for task in tasks]
    assert (tmp_path / "begun").read_text().split().count("3") >= 2
    assert (tmp_path / "files/3").read_text() == "3"
    loser = int((tmp_path / "sleeps").read_text())
    deadline = time.monotonic() + 60  # on a crowded machine even SIGKILL takes its time
    while psutil.pid_exists(loser) and psutil.Process(loser).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert Ledger(tmp_path, "step").committed() == commits


def test_what_watches_a_step_can_end_it(ray_runner, tmp_path):
    """As the count of failed pages does; tasks that are under way are ended, and the runner is good for more."""
    tasks = [Write(key=f"{n}", out=tmp_path, sleeps=n == 3) for n in range(4)]

    def refuse_two(commits):
        if len(Ledger(tmp_path, "step").committed()) > 1:
            raise InputError("step", "is enough")

    with pytest.raises(InputError, match="is enough"):
        run_tasks(ray_runner, tmp_path, "step", write, tasks, PlainProgress(quiet=True), refuse_two)
    with pytest.raises(InputError, match="is enough"):  # told of those from before, too
        run_tasks(ray_runner, tmp_path, "step", write, tasks, PlainProgress(quiet=True), refuse_two)
    assert list(ray_runner.map(double, [1])) == [2]


def test_the_first_of_two_attempts_stands(tmp_path):
    ledger = Ledger(tmp_path, "step")
    first = ledger.commit(Commit(key="a", notes={"attempt": 1}))
    assert ledger.commit(Commit(key="a", notes={"attempt": 2})) == first
    assert ledger.committed() == {"a": first}
    ledger.undo("a")
    assert ledger.commit(Commit(key="a", notes={"attempt": 2})).notes == {"attempt": 2}


def test_without_ray_the_same():
    with open_runner(RunSettings(local=True)) as runner:
        assert list(runner.map(double, [1, 2])) == [2, 4]


def test_a_cluster_that_does_not_answer(ray_runner):
    with (
        pytest.raises(UserError, match="no Ray cluster answers"),
        open_runner(RunSettings(ray=RaySettings(address="bad address"))),
    ):
        pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RunSettings(workers=0), "workers: must be at least 1, got 0"),
        (lambda: RunSettings(memory=4095), "memory: must be at least 4096"),
        (lambda: RaySettings(memory_per_task=4095), "memory_per_task: must be at least 4096"),
        (lambda: RaySettings(cpus_per_task=0), "cpus_per_task: must be above 0"),
        (lambda: RaySettings(retries=-1), "retries: must be at least 0"),
        (lambda: RaySettings(tasks_per_worker=-1), "tasks_per_worker: must be at least 0"),
        (lambda: RaySettings(straggler_factor=0.9), "straggler_factor: must be at least 1, got 0.9"),
        (lambda: RaySettings(straggler_seconds=-1), "straggler_seconds: must be at least 0, got -1"),
    ],
)
def test_impossible_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
