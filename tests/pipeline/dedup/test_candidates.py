import itertools

import numpy as np
import pytest

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.candidates import NAME, bands_of_texts, candidate_blocks
from pipeline.dedup.config import DedupConfig, MinHashConfig, VerifyConfig
from pipeline.dedup.signing import Signer
from pipeline.dedup.sorted_runs import KEYS, StoredRun, run_arrays

LARGE = 1 << 30


def store(folder, groups):
    """Runs of groups of (bucket, text) rows."""
    runs = []
    for group, rows in enumerate(groups):
        keys, texts = np.array(rows, np.uint64).reshape(-1, 2).T
        path = folder / f"{group}.arrays"
        write_arrays(path, run_arrays("band", keys, np.arange(len(keys), dtype=np.uint64), texts))
        runs.append(StoredRun(ArrayFile(path), "band", group))
    return runs


def found(runs, anchors, budget=LARGE):
    """All pairs, with repeats."""
    pairs = []
    for arrays in candidate_blocks(runs, 0, KEYS, anchors, budget):
        block = list(zip(arrays[f"{NAME}.key"].tolist(), arrays[f"{NAME}.row"].tolist(), strict=True))
        assert block == sorted(set(block))
        pairs += block
    return pairs


def texts_of(pairs, groups):
    """The pairs of different documents, by text."""
    text = {group << 32 | row: value for group, rows in enumerate(groups) for row, (_, value) in enumerate(rows)}
    return {frozenset((text[a], text[b])) for a, b in pairs if a != b}


def test_small_buckets_are_compared_pair_by_pair(tmp_path):
    groups = [[(7, 100), (7, 200), (9, 300)], [(7, 300), (9, 400), (5, 500)]]
    pairs = found(store(tmp_path, groups), anchors=4)
    second = 1 << 32
    assert sorted(pair for pair in pairs if pair[0] != pair[1]) == [
        (1, 0), (second, 0), (second, 1), (second + 1, 2),
    ]  # fmt: skip
    assert [a for a, b in pairs if a == b] == [0, 1, 2, second, second + 1]


@pytest.mark.parametrize(("texts", "compared"), [(5, 10), (6, 14)])
def test_beyond_the_anchors_texts_are_compared_with_those_alone(tmp_path, texts, compared):
    rows = [(7, 1000 * n) for n in range(texts)]
    pairs = [pair for pair in found(store(tmp_path, [rows]), anchors=4) if pair[0] != pair[1]]
    assert len(pairs) == compared
    meets = {row: sum(row in pair for pair in pairs) for row in range(texts)}
    assert sorted(meets.values()) == {5: [4] * 5, 6: [4, 4, 5, 5, 5, 5]}[texts]


def test_documents_of_equal_text_are_not_compared_but_said_to_be_wanted(tmp_path):
    assert found(store(tmp_path, [[(7, 5)] * 1000]), anchors=2) == []
    pairs = found(store(tmp_path, [[(7, 5)] * 1000 + [(7, 6)] * 10]), anchors=2)
    assert [pair for pair in pairs if pair[0] != pair[1]] == [(1000, 0)]
    assert [a for a, b in pairs if a == b] == list(range(1010))


def test_a_bucket_has_anchors_of_its_own(tmp_path):
    rng = np.random.default_rng(0)
    texts = rng.integers(0, KEYS - 1, 50, np.uint64).tolist()
    rows = [(bucket, text) for bucket in rng.integers(0, KEYS - 1, 20, np.uint64).tolist() for text in texts]
    pairs = texts_of(found(store(tmp_path, [rows]), anchors=1), [rows])
    centres = {text for text in texts if sum(text in pair for pair in pairs) == 49}
    assert 10 < len(centres) <= 20


@pytest.mark.parametrize("budget", [1, 1 << 14, 1 << 17])
def test_neither_memory_nor_places_change_which_texts_are_compared(tmp_path, budget):
    rng = np.random.default_rng(1)
    texts = rng.integers(0, KEYS - 1, 300, np.uint64).tolist()
    rows = [(bucket, text) for bucket, size in ((77, 300), (88, 200), (99, 3), (111, 1)) for text in texts[:size] * 2]
    whole = found(store(tmp_path, [rows]), anchors=3)
    order = rng.permutation(len(rows)).tolist()
    groups = [[rows[n] for n in order[start::3]] for start in range(3)]
    (tmp_path / "mixed").mkdir()
    parts = found(store(tmp_path / "mixed", groups), anchors=3, budget=budget)
    assert texts_of(parts, groups) == texts_of(whole, [rows])
    assert len({a for a, b in parts if a == b}) == len({a for a, b in whole if a == b}) == 1006
    assert len(parts) <= len(rows) * 4


def test_ranges_together_are_the_whole(tmp_path):
    rng = np.random.default_rng(2)
    rows = [(int(bucket), text) for text, bucket in enumerate(rng.integers(0, 1 << 63, 100, np.uint64)) for _ in "ab"]
    rows = [(bucket, 2 * text + n) for (bucket, text), n in zip(rows, itertools.cycle(range(2)), strict=False)]
    runs = store(tmp_path, [rows])
    cuts = [0, 1 << 61, 1 << 62, KEYS]
    parts = [
        pair
        for low, high in itertools.pairwise(cuts)
        for arrays in candidate_blocks(runs, low, high, 2, LARGE)
        for pair in zip(arrays[f"{NAME}.key"].tolist(), arrays[f"{NAME}.row"].tolist(), strict=True)
    ]
    assert sorted(parts) == sorted(found(runs, 2))
    assert len(parts) == 300


def test_digests_are_looked_up_where_none_stand_beside_the_bands(tmp_path):
    texts = [" ".join(f"{letter}{n}" for n in "abcdefghij") for letter in "xyzxyx"]
    config = DedupConfig(minhash=MinHashConfig(verify=VerifyConfig()))
    read = []
    for number, one in enumerate((config, DedupConfig())):
        signer = Signer(one)
        signer.add(texts, np.arange(6, dtype=np.uint64), [""] * 6)
        write_arrays(tmp_path / str(number), signer.arrays())
        read.append(bands_of_texts(ArrayFile(tmp_path / str(number)), 3).read(0, 84))
    (keys, lows, values), looked_up = read
    order, other = np.lexsort((values, keys)), np.lexsort((looked_up[2], looked_up[0]))
    assert len(np.unique(lows)) == 3
    for one, two in zip((keys, lows, values), looked_up, strict=True):
        assert one[order].tolist() == two[other].tolist()
