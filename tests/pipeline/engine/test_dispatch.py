"""Which tasks go together and which go twice: by numbers alone, no Ray and no clock."""

import pytest

from pipeline.engine.dispatch import MAX_BATCH_TASKS, MIN_FINISHED_BATCHES, Batch, RunningBatches, TaskQueue


def sizes(queue, workers):
    return [len(batch) for batch in iter(lambda: queue.take(workers), ())]


def test_nothing_is_known_at_first_so_tasks_go_alone():
    assert sizes(TaskQueue(range(3)), 2) == [1, 1, 1]


def test_every_task_is_taken_once_in_order():
    queue = TaskQueue(range(1000))
    queue.record_pace(1, 0.001)
    taken = [task for batch in iter(lambda: queue.take(2), ()) for task in batch]
    assert taken == list(range(1000))


@pytest.mark.parametrize(
    ("seconds", "tasks", "workers", "size"),
    [
        (0.001, 100_000, 2, MAX_BATCH_TASKS),
        (0.5, 100_000, 2, 10),  # five seconds
        (4.0, 100_000, 2, 1),
        (600.0, 100_000, 2, 1),
        (0.001, 80, 2, 10),  # a share of what is left
        (0.001, 7, 2, 1),
        (0.0, 10_000, 1, MAX_BATCH_TASKS),
    ],
)
def test_batches_last_seconds_and_leave_something_for_others(seconds, tasks, workers, size):
    queue = TaskQueue(range(tasks))
    queue.record_pace(2, 2 * seconds)
    assert len(queue.take(workers)) == size


def test_slow_first_tasks_of_workers_are_no_measure():
    queue = TaskQueue(range(100_000))
    for seconds in (4.0, 4.0, 0.01, 0.01, 0.01):
        queue.record_pace(1, seconds)
    assert len(queue.take(2)) == 500


def test_what_a_batch_did_not_begin_comes_next():
    queue = TaskQueue("abcd")
    assert queue.take(1) + queue.take(1) == ("a", "b")
    queue.requeue("b")
    assert [*queue.take(1), *queue.take(1)] == ["b", "c"]


def test_slow_is_said_by_the_median_once_enough_is_known():
    queue = TaskQueue([])
    for _ in range(MIN_FINISHED_BATCHES - 1):
        queue.record_pace(1, 30.0)
    assert queue.slow_after(3.0, 60.0) is None
    queue.record_pace(1, 5000.0)
    assert queue.slow_after(3.0, 60.0) == 90.0
    assert queue.slow_after(3.0, 100.0) == 100.0
    assert queue.slow_after(None, 0.0) is None


def test_nothing_is_slow_while_tasks_wait():
    queue = TaskQueue([1])
    for _ in range(MIN_FINISHED_BATCHES):
        queue.record_pace(1, 1.0)
    assert queue.slow_after(3.0, 0.0) is None


def test_a_straggler_goes_out_once_more():
    running, slow, fast = RunningBatches(), Batch(("slow",)), Batch(("fast",))
    running.add("a", slow, 0.0)
    running.add("b", fast, 100.0)
    assert running.stragglers(None, 1000.0) == []
    assert running.stragglers(60.0, 60.0) == []
    assert running.stragglers(60.0, 60.1) == [slow]
    running.add("a again", slow, 60.1)
    assert running.stragglers(60.0, 160.1) == [fast]
    running.add("b again", fast, 160.1)
    assert running.stragglers(60.0, 1000.0) == []  # none a third time


def test_an_attempt_that_ends_leaves_the_others_of_its_batch():
    running, batch = RunningBatches(), Batch(("t",))
    running.add("first", batch, 0.0)
    running.add("second", batch, 1.0)
    assert running.end("second") is batch
    assert batch.attempts == ["first"]
    assert list(running.batches) == ["first"]
