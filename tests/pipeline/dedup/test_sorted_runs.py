import itertools

import numpy as np
import pytest

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.edges import partition_bounds, write_edges
from pipeline.dedup.pairs import read_pairs
from pipeline.dedup.sorted_runs import KEYS, ROW_BYTES, StoredRun, grouped, run_arrays

LAST = KEYS - 1


def store(folder, keys_by_group, low_by_group=None):
    runs = []
    for group, keys in enumerate(keys_by_group):
        path = folder / f"{group}.arrays"
        low = None if low_by_group is None else np.array(low_by_group[group], np.uint64)
        write_arrays(path, run_arrays("band", np.array(keys, np.uint64), np.arange(len(keys), dtype=np.uint64), low))
        runs.append(StoredRun(ArrayFile(path), "band", group))
    return runs


def expected(keys_by_group, low=0, high=KEYS):
    """Key -> all its values, by brute force."""
    found = {}
    for group, keys in enumerate(keys_by_group):
        for row, key in enumerate(keys):
            if low <= key < high:
                found.setdefault(int(key), []).append(group << 32 | row)
    return found


def collect(blocks):
    found, smallest = {}, {}
    for block in blocks:
        for key, value, least in zip(block.keys.tolist(), block.values.tolist(), block.smallest.tolist(), strict=True):
            found.setdefault(key, []).append(value)
            assert smallest.setdefault(key, least) == least
    return {key: sorted(values) for key, values in found.items()}, smallest


@pytest.mark.parametrize("budget", [90 * ROW_BYTES, 700 * ROW_BYTES, 4000 * ROW_BYTES, 1 << 30])
def test_rows_are_grouped_whatever_the_budget(tmp_path, budget):
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, KEYS - 1, 3000, np.uint64) for _ in range(3)]
    groups[0][:50] = groups[1][:50] = groups[2][:50]  # shared hashes
    for group in groups:
        group[100:900] = 77 << 40  # a key with 2,400 rows, more than most of the budgets
        group[900], group[901] = 0, LAST
    runs = store(tmp_path, groups)
    for low, high in ((0, KEYS), (1 << 62, 1 << 63), (77 << 40, (77 << 40) + 1), (LAST, KEYS), (0, 1)):
        values, smallest = collect(grouped(runs, low, high, budget))
        assert values == {key: sorted(rows) for key, rows in expected(groups, low, high).items()}
        assert smallest == {key: min(rows) for key, rows in expected(groups, low, high).items()}


@pytest.mark.parametrize("budget", [1, 1 << 30])
def test_keys_of_128_bits_are_compared_whole(tmp_path, budget):
    runs = store(tmp_path, [[5, 5, 5], [5, 5, 9]], [[1, 2, 1], [2, 1, 1]])
    rows = {
        int(value): int(least)
        for block in grouped(runs, 0, KEYS, budget)
        for value, least in zip(block.values, block.smallest, strict=True)
    }
    second = 1 << 32
    assert rows == {0: 0, 2: 0, 1: 1, second: 1, second + 1: 0, second + 2: second + 2}


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_partitions_cover_every_hash_once(tmp_path, partitions):
    bounds = [partition_bounds(part, partitions) for part in range(partitions)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == KEYS
    assert all(one[1] == following[0] for one, following in itertools.pairwise(bounds))
    runs = store(tmp_path, [[3, LAST, 8, 3], [LAST, 8, 3, 11]])
    edges = set()
    for part in range(partitions):
        path = tmp_path / f"edges-{part}"
        count = write_edges(runs, part, partitions, path, 1 << 20)
        pairs = read_pairs(path).tolist()
        assert len(pairs) == count
        edges |= set(map(tuple, pairs))
    second = 1 << 32
    assert edges == {(3, 0), (second + 2, 0), (second, 1), (second + 1, 2)}


def test_no_rows(tmp_path):
    runs = store(tmp_path, [[], []])
    assert list(grouped(runs, 0, KEYS, 1 << 20)) == []
    assert list(grouped([], 0, KEYS, 1 << 20)) == []
