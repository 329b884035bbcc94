"""Equal payloads by hand: which page of each comes first, and what the pages of each input are told."""

import pyarrow as pa
import pytest

from pipeline.dedup.first_copies import PAYLOADS, halves, look_up, partitions_for, write_firsts, write_payloads

ZERO, HALF, TOP = (0, 0), (1 << 63, 1), (2**64 - 1, 2**64 - 1)
OTHER_LOW = (1 << 63, 2)  # differs from HALF in its second half alone
WHOLE = 1 << 30


def page(digest, order, name, offset, passed=0):
    return dict(zip(PAYLOADS.names, (*digest, order, name, offset, passed), strict=True))


INPUTS = [
    [page(TOP, 5, "t0", 0), page(ZERO, 9, "z0", 10), page(HALF, 1, "h0", 20)],
    [page(ZERO, 3, "z1", 0), page(ZERO, 3, "z2", 10), page(OTHER_LOW, 0, "alone", 20)],
    [],
    [page(TOP, 5, "s3", 0), page(TOP, 4, "u3", 10), page(HALF, 1, "h0", 20, passed=1)],
]
COPIES = [[(0, 0, "u3"), (10, 0, "z1")], [(10, 0, "z1")], [], [(0, 0, "u3"), (20, 1, "h0")]]
ORIGINALS = [[(20, 0, 2)], [(0, 0, 3)], [], [(10, 0, 3)]]


def write_inputs(folder, inputs):
    paths = [folder / f"{number}.payloads" for number in range(len(inputs))]
    for path, rows in zip(paths, inputs, strict=True):
        write_payloads(path, pa.Table.from_pylist(rows, PAYLOADS))
    return paths


def write_all_firsts(folder, splits, partitions, budget):
    files = [folder / f"{number}.firsts" for number in range(partitions)]
    counts = [write_firsts(splits, number, partitions, path, budget) for number, path in enumerate(files)]
    return files, tuple(map(sum, zip(*counts, strict=True)))


def told(splits, firsts):
    """(copies, originals) of each input, as sorted lists of tuples."""
    tables = [look_up(path, number, firsts) for number, path in enumerate(splits)]
    return tuple([sorted(tuple(row.values()) for row in pair[kind].to_pylist()) for pair in tables] for kind in (0, 1))


@pytest.mark.parametrize(("partitions", "budget"), [(1, WHOLE), (1, 1), (2, WHOLE), (5, 1200)])
def test_the_first_page_stays_and_the_others_are_told_its_id(tmp_path, partitions, budget):
    splits = write_inputs(tmp_path, INPUTS)
    firsts, counts = write_all_firsts(tmp_path, splits, partitions, budget)
    assert counts == (3, 5)  # ZERO and TOP three times, HALF twice
    assert told(splits, firsts) == (COPIES, ORIGINALS)


def test_pages_of_one_time_are_ordered_by_id_then_input_then_offset(tmp_path):
    first = [page(HALF, 7, "x", 30), page(HALF, 7, "x", 4), page(TOP, 7, "b", 0)]
    splits = write_inputs(tmp_path, [first, [page(HALF, 7, "x", 1), page(TOP, 7, "a", 50)]])
    firsts, counts = write_all_firsts(tmp_path, splits, 1, WHOLE)
    assert counts == (2, 3)
    copies = [[(0, 0, "a"), (30, 0, "x")], [(1, 0, "x")]]
    assert told(splits, firsts) == (copies, [[(4, 0, 3)], [(50, 0, 2)]])


def test_where_nothing_occurs_twice_nobody_is_told_anything(tmp_path):
    splits = write_inputs(tmp_path, [[page(ZERO, 1, "a", 0)], [page(TOP, 1, "b", 0)], []])
    firsts, counts = write_all_firsts(tmp_path, splits, 2, WHOLE)
    assert counts == (0, 0)
    assert told(splits, firsts) == ([[], [], []], [[], [], []])


def test_a_row_more_than_fits_makes_another_range():
    assert [partitions_for(rows, 4000) for rows in (0, 1, 10, 11, 20, 21)] == [1, 1, 1, 2, 2, 3]


def test_digests_sort_as_their_halves_do():
    assert halves([bytes(15) + b"\x01", b"\x01" + bytes(15)]).tolist() == [[0, 1], [1 << 56, 0]]
    assert halves([]).shape == (0, 2)
