"""Which hashes occur twice anywhere, told to each group of documents of its own."""

import numpy as np
import pytest

from pipeline.dedup.anchors import member, read_shared, write_anchor_run, write_shared

TOP = 2**64 - 1
RUNS = [
    (0, [5, 9, 5, 0]),  # 5 twice in one run
    (0, [7, 1 << 63]),
    (1, [9, 9, TOP, 3]),
    (3, [1 << 63, 0, 4]),
    (3, [4, 8]),  # 4 in two runs of one group
]
SHARED = {0: [0, 5, 9, 1 << 63], 1: [9], 2: [], 3: [0, 4, 1 << 63]}


def hashes(values):
    return np.array(values, np.uint64)


def write_runs(folder):
    runs = []
    for number, (group, values) in enumerate(RUNS):
        runs.append((group, folder / f"{number}.run"))
        assert write_anchor_run(runs[-1][1], hashes(values)) == len(set(values))
    return runs


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_each_group_is_told_which_of_its_hashes_occur_more_than_once(tmp_path, partitions):
    runs, files = write_runs(tmp_path), [tmp_path / f"{number}.shared" for number in range(partitions)]
    counts = [write_shared(runs, number, partitions, 4, path) for number, path in enumerate(files)]
    assert sum(counts) == len({0, 4, 5, 9, 1 << 63})
    assert {group: read_shared(files, group).tolist() for group in range(4)} == SHARED


def test_neither_side_of_a_border_between_ranges_is_lost(tmp_path):
    border = 1 << 63
    write_anchor_run(tmp_path / "a", hashes([border - 1, border, border - 1, border]))
    files = [tmp_path / "low", tmp_path / "high"]
    assert [write_shared([(0, tmp_path / "a")], number, 2, 1, path) for number, path in enumerate(files)] == [1, 1]
    assert [read_shared([path], 0).tolist() for path in files] == [[border - 1], [border]]


def test_no_runs_and_empty_runs_share_nothing(tmp_path):
    assert write_anchor_run(tmp_path / "empty", hashes([])) == 0
    for runs in ([], [(0, tmp_path / "empty"), (1, tmp_path / "empty")]):
        assert write_shared(runs, 0, 1, 2, tmp_path / "shared") == 0
        assert read_shared([tmp_path / "shared"], 1).tolist() == []
    assert read_shared([], 0).dtype == np.uint64


def test_members_of_a_sorted_list():
    known = hashes([2, 5, 1 << 63])
    assert member(hashes([0, 2, 3, 5, 5, 1 << 63, TOP]), known).tolist() == [
        False,
        True,
        False,
        True,
        True,
        True,
        False,
    ]
    assert member(hashes([0, 2]), hashes([])).tolist() == [False, False]
    assert member(hashes([]), known).tolist() == []
