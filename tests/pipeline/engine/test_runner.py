"""Tasks on Ray: the same results as without it, errors as they were raised, dead workers replaced."""

import os
import signal
from pathlib import Path

import pytest

from pipeline.contract.errors import InputError, UserError
from pipeline.engine.runner import open_runner
from pipeline.engine.settings import RaySettings, RunSettings


def double(number: int) -> int:
    """A task."""
    return 2 * number


def refuse(path: str) -> None:
    """A task that meets a user's mistake."""
    raise InputError(path, "cannot be read", mend="give another")


def die_once(marker: str) -> str:
    """A task whose worker is killed the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


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
        (lambda: RaySettings(cpus_per_task=0), "cpus_per_task: must be above 0"),
        (lambda: RaySettings(retries=-1), "retries: must be at least 0"),
        (lambda: RaySettings(tasks_per_worker=-1), "tasks_per_worker: must be at least 0"),
    ],
)
def test_impossible_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
