import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.order import MIX_BLOCK, Order, permute


@given(size=st.integers(1, 3000), key=st.text(max_size=5))
@settings(max_examples=40, deadline=None)
def test_a_permutation_has_every_item_once(size, key):
    assert sorted(permute(np.arange(size), size, key)) == list(range(size))


def test_the_order_is_fixed_for_ever():
    """A run is resumed with the order it began with, also by a later version: these numbers never change."""
    assert permute(np.arange(8), 10, "17:0:0").tolist() == [3, 7, 9, 0, 1, 5, 4, 2]
    source, epoch, number = Order([10, 1000], [1, 3], seed=17).locate(np.array([0, 1, 2, 3, 5000]))
    assert [source.tolist(), epoch.tolist(), number.tolist()] == [
        [1, 1, 1, 1, 1],
        [0, 0, 2, 0, 4],
        [661, 666, 833, 372, 941],
    ]


def test_a_huge_order_is_entered_anywhere_at_once():
    items = permute(np.array([0, 1, 10**12 - 1]), 10**12, "a")
    assert len(set(items.tolist())) == 3
    assert (items < 10**12).all()


def test_neighbours_are_scattered():
    items = permute(np.arange(1000), 100_000, "a")
    assert np.abs(np.diff(items)).min() > 0
    assert abs(np.corrcoef(np.arange(1000), items)[0, 1]) < 0.1
    assert abs(items.mean() / 50_000 - 1) < 0.1


def test_every_epoch_reads_each_sequence_once_in_another_order():
    order = Order([50], [1.0], seed=1)
    source, epoch, number = order.locate(np.arange(150))
    assert set(source) == {0}
    assert epoch.tolist() == [0] * 50 + [1] * 50 + [2] * 50
    first, second = number[:50].tolist(), number[50:100].tolist()
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


def test_positions_can_be_asked_for_in_any_portions():
    order = Order([7, 90], [1.0, 2.0], seed=1)
    whole = np.stack(order.locate(np.arange(9000)))
    parts = np.concatenate(
        [np.stack(order.locate(np.arange(start, start + 1000))) for start in range(0, 9000, 1000)], 1
    )
    assert (whole == parts).all()


def test_a_mix_keeps_its_shares_in_every_block_and_its_epochs():
    order = Order([100, 5000], [1.0, 3.0], seed=1)
    source, epoch, number = order.locate(np.arange(2 * MIX_BLOCK))
    assert [(source[:MIX_BLOCK] == 0).sum(), (source[MIX_BLOCK:] == 0).sum()] == [1024, 1024]
    small = source == 0
    for turn in range(20):
        assert sorted(number[small & (epoch == turn)]) == list(range(100))
    assert len(np.unique(number[~small & (epoch == 0)])) == 5000


def test_another_seed_is_another_order():
    positions = np.arange(100)
    assert (Order([1000], [1.0], 1).locate(positions)[2] != Order([1000], [1.0], 2).locate(positions)[2]).any()


def test_shares_too_small_and_empty_sources_are_refused():
    assert Order([5, 5], [1.0, 4095.0], 1).places.tolist() == [1, 4095]
    with pytest.raises(ValueError, match=r"source 0 has a share of 1\.\de-05; the least is 1/4096"):
        Order([5, 5], [1.0, 99_999.0], 1)
    with pytest.raises(ValueError, match="source 1 has no sequence"):
        Order([5, 0], [1.0, 1.0], 1)
