"""Rows written out by hand, and what must hold for any lengths."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.chat.format import RenderedConversation
from training.chat.packing import best_fit, fit_conversations, pack
from training.data.batches import IGNORE_INDEX


def rendered(ids: Sequence[int], learned: Sequence[int], ends: Sequence[int] = ()) -> RenderedConversation:
    return RenderedConversation(np.array(ids, np.int32), np.array(learned, np.bool_), tuple(ends) or (len(ids),))


def test_a_packed_row_written_out() -> None:
    a = rendered([9, 1, 2, 3, 8], [0, 0, 1, 1, 1])
    b = rendered([9, 4, 8], [0, 0, 1])
    rows = pack([b, a], 8, pad_id=7)
    assert rows.tokens.tolist() == [[9, 1, 2, 3, 9, 4, 7, 7]]
    assert rows.targets.tolist() == [[IGNORE_INDEX, 2, 3, 8, IGNORE_INDEX, 8, IGNORE_INDEX, IGNORE_INDEX]]
    assert rows.document_ids.tolist() == [[0, 0, 0, 0, 1, 1, -1, -1]]
    assert rows.positions.tolist() == [[0, 1, 2, 3, 0, 1, 0, 0]]
    assert rows.supervised().tolist() == [4]
    assert rows.padding() == 0.25


def test_no_conversation_predicts_the_first_token_of_the_next() -> None:
    a, b = rendered([5, 6], [1, 1]), rendered([7, 8], [1, 1])
    rows = pack([a, b], 2, pad_id=0)
    assert rows.targets.tolist() == [[6, 8]]


def test_best_fit_takes_the_fullest_row_that_has_room() -> None:
    assert best_fit([6, 3, 7, 3, 4, 1], 10) == [[2, 1], [0, 4], [3, 5]]


def test_best_fit_breaks_ties_by_position_and_by_age() -> None:
    assert best_fit([5, 5, 5, 5], 10) == [[0, 1], [2, 3]]
    assert best_fit([7, 7, 3, 3], 10) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("size", [0, 11])
def test_a_size_that_no_row_takes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"length {size}; a row takes 1 to 10"):
        best_fit([size], 10)


@given(st.lists(st.integers(1, 40), max_size=60))
@settings(max_examples=60, deadline=None)
def test_every_item_once_and_no_row_overfull(lengths: list[int]) -> None:
    rows = best_fit(lengths, 40)
    assert sorted(item for row in rows for item in row) == list(range(len(lengths)))
    used = [sum(lengths[item] for item in row) for row in rows]
    assert all(cells <= 40 for cells in used)
    # Best fit never leaves two rows that are both at most half full.
    assert sum(cells <= 20 for cells in used) <= 1


def test_a_long_conversation_is_cut_after_the_last_learned_turn_that_fits() -> None:
    #          bos u  x end a  y end u  z  end a  w end: turns end after 4, 7, 10 and 13 ids
    ids = [0, 1, 20, 3, 2, 21, 3, 1, 22, 3, 2, 23, 3]
    learned = [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1]
    conversation = rendered(ids, learned, (4, 7, 10, 13))
    for length, kept in ((12, 13), (11, 7), (6, 7)):  # 12 cells hold 13 ids
        fitted = fit_conversations([conversation], length)
        assert [len(one.ids) for one in fitted.kept] == [kept]
        assert (fitted.truncated, fitted.too_long) == (int(kept < 13), 0)
    fitted = fit_conversations([conversation], 5)
    assert (fitted.kept, fitted.truncated, fitted.too_long) == ([], 0, 1)


def test_what_follows_the_last_learned_turn_is_left_out_and_not_counted_as_cut() -> None:
    conversation = rendered([0, 2, 21, 3, 1, 22, 3], [0, 0, 1, 1, 0, 0, 0], (4, 7))
    fitted = fit_conversations([conversation], 10)
    assert fitted.kept[0].ids.tolist() == [0, 2, 21, 3]
    assert fitted.truncated == 0


def test_nothing_learned_is_counted_and_refused() -> None:
    nothing, something = rendered([0, 1, 3], [0, 0, 0]), rendered([0, 1, 3], [0, 0, 1])
    fitted = fit_conversations([nothing, something], 10)
    assert (fitted.unsupervised, fitted.positions) == (1, [1])
    with pytest.raises(ValueError, match="conversation 1 has no learned token"):
        pack([something, nothing], 10, 0)


def test_packing_does_not_depend_on_anything_but_the_input() -> None:
    lengths = np.random.default_rng(3).integers(2, 50, 200)
    items = [rendered(range(int(n)), [0] + [1] * (int(n) - 1)) for n in lengths]
    one, two = pack(items, 64, 0), pack(items, 64, 0)
    assert np.array_equal(one.tokens, two.tokens) and np.array_equal(one.targets, two.targets)
    assert one.supervised().sum() == (lengths - 1).sum()
    assert one.padding() < 0.05
