"""Every row once an epoch, whatever the number of processes."""

import numpy as np
import pytest

from training.chat.batches import ChatBatches, row_batches
from training.chat.packing import PackedRows
from training.data.batches import IGNORE_INDEX


def numbered_rows(count: int) -> PackedRows:
    """Row n holds the token n."""
    tokens = np.repeat(np.arange(count, dtype=np.int32)[:, None], 3, axis=1)
    return PackedRows(tokens, tokens, np.zeros_like(tokens), np.zeros_like(tokens))


def seen(data: ChatBatches, steps: int) -> list[list[int]]:
    """The rows of each step that teach something."""
    found = []
    for step in range(steps):
        parts = data.step(step * data.sequences_per_step)
        found.append([int(part.tokens[i, 0]) for part in parts for i in range(len(part.tokens))
                      if part.targets[i, 0] != IGNORE_INDEX])  # fmt: skip
    return found


def chat_data(size: int = 1, rank: int = 0) -> ChatBatches:
    return ChatBatches(numbered_rows(10), epochs=3, count=4, micro=2, seed=1, rank=rank, size=size)


def test_every_row_once_an_epoch_and_each_epoch_in_another_order() -> None:
    data = chat_data()
    assert data.steps == 8  # 30 rows in steps of 4, the last one of 2
    steps = seen(data, 8)
    assert [len(step) for step in steps] == [4, 4, 4, 4, 4, 4, 4, 2]
    order = [row for step in steps for row in step]
    epochs = [order[0:10], order[10:20], order[20:30]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_more_processes_see_the_same_rows_in_each_step(size: int) -> None:
    alone = seen(chat_data(), 8)
    together = [seen(chat_data(size, rank), 8) for rank in range(size)]
    for step in range(8):
        assert sorted(row for mine in together for row in mine[step]) == sorted(alone[step])
    counts = [[len(chat_data(size, rank).step(step * 4)) for step in range(8)] for rank in range(size)]
    assert all(count == counts[0] for count in counts)  # sharded models work in step


def test_validation_batches_hold_every_row_once() -> None:
    rows = numbered_rows(5)
    found = [int(batch.tokens[i, 0]) for rank in range(2)
             for batch in row_batches(rows, range(5), micro=2, rank=rank, size=2)
             for i in range(len(batch.tokens)) if batch.targets[i, 0] != IGNORE_INDEX]  # fmt: skip
    assert sorted(found) == [0, 1, 2, 3, 4]
