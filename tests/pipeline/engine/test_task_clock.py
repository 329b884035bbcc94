"""The clock of the one task that a process does."""

import pytest

from pipeline.engine.task_clock import add_child, end_task, start_task, task_seconds


@pytest.fixture(autouse=True)
def no_task():
    end_task()
    yield
    end_task()


def test_there_is_time_only_while_a_task_is_under_way():
    assert task_seconds() is None
    start_task()
    assert task_seconds() is not None
    end_task()
    assert task_seconds() is None


def test_page_processes_count_for_the_task_they_worked_for_and_for_no_other():
    add_child(1000.0)  # before the task
    start_task()
    add_child(300.0)
    add_child(40.0)
    assert 340.0 <= task_seconds()[0] < 1000.0
    start_task()
    assert task_seconds()[0] < 340.0


def test_children_add_cpu_time_and_no_wall_time():
    start_task()
    add_child(1000.0)
    cpu, wall = task_seconds()
    assert wall < 1000.0 <= cpu
