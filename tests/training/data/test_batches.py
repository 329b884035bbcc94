import numpy as np
import pytest

from pipeline.contract.errors import InputError
from training.data.batches import Prefetcher, micro_batches


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("micro", [1, 2, 64])
def test_every_sequence_of_a_step_is_on_one_process(size, micro):
    mine = [list(micro_batches(6, micro, rank, size)) for rank in range(size)]
    assert len({len(batches) for batches in mine}) == 1
    assert {len(batch) for batches in mine for batch in batches} == {min(micro, -(-6 // size))}
    indexes = [index for batches in mine for batch in batches for index in batch if index is not None]
    assert sorted(indexes) == [0, 1, 2, 3, 4, 5]


class Numbered:
    """A source whose batches are their position; breaks at the third step."""

    sequences_per_step = 4

    def step(self, first):
        if first == 8:
            raise InputError("shard", "is gone")
        return [first]


def test_the_prefetcher_keeps_the_order_and_hands_errors_on():
    batches = Prefetcher(Numbered(), 0, pin=False)
    assert [batches.take(), batches.take()] == [[0], [4]]
    with pytest.raises(InputError, match="is gone"):
        batches.take()
    batches.close()


def test_a_prefetcher_can_be_left_early():
    batches = Prefetcher(Numbered(), 100, pin=False)
    assert batches.take() == [100]
    batches.close()
    assert np.all([not batches._thread.is_alive()])
