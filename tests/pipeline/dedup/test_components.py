import numpy as np
import pytest
from graphs import GRAPHS, NODES, SIZES, brute_force, store

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.components import fits, in_memory, write_components
from pipeline.dedup.pairs import count_pairs, pair_blocks, read_pairs
from pipeline.dedup.union_find import contract, union_find


@pytest.mark.parametrize("name", GRAPHS)
def test_union_find_and_contraction_agree_with_brute_force(tmp_path, name):
    paths = store(tmp_path, GRAPHS[name])
    wanted = brute_force(GRAPHS[name])
    for most in (64, 1 << 20):
        documents, roots = union_find(pair_blocks(paths, most), SIZES)
        assert (documents.tolist(), roots.tolist()) == wanted
    documents, roots = contract(np.concatenate([read_pairs(path) for path in paths]))
    assert (documents.tolist(), roots.tolist()) == wanted


def test_by_documents_and_by_edges_the_same_file_is_written(tmp_path):
    paths = store(tmp_path, GRAPHS["many small ones"])
    small, large = 1 << 18, 1 << 30
    assert not in_memory(NODES, small)
    assert in_memory(NODES, large)
    found = []
    for budget in (small, large):
        path = tmp_path / f"components-{budget}"
        positions = write_components(paths, SIZES, path, budget)
        found.append((path.read_bytes(), positions))
        groups = (read_pairs(path)[:, 0] >> np.uint64(32)).astype(int)
        assert positions == [int((groups < group).sum()) for group in range(len(SIZES) + 1)]
    assert found[0] == found[1]


def test_documents_or_edges_have_to_fit():
    block, budget = 96 << 20, 1 << 28
    assert fits((budget - block) // 32, 10**9, budget)
    assert not fits((budget - block) // 32 + 1, 10**9, budget)
    assert fits(10**9, budget // 128, budget)
    assert not fits(10**9, budget // 128 + 1, budget)


def test_pairs_cut_in_the_middle_are_refused(tmp_path):
    (path, *_) = store(tmp_path, GRAPHS["a long chain in order"])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(IntegrityError, match="no whole number of pairs"):
        count_pairs(path)
    with pytest.raises(IntegrityError, match="cannot be read"):
        count_pairs(tmp_path / "missing")
