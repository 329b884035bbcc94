import numpy as np
import pytest

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.components import fits, in_memory, write_components
from pipeline.dedup.pairs import PairWriter, count_pairs, pair_blocks, read_pairs
from pipeline.dedup.union_find import contract, union_find

PER_GROUP = 1000
NODES = 6000
SIZES = [PER_GROUP] * (NODES // PER_GROUP)


def key(index):
    index = np.asarray(index)
    return ((index // PER_GROUP).astype(np.uint64) << np.uint64(32)) | (index % PER_GROUP).astype(np.uint64)


def graphs():
    rng = np.random.default_rng(0)
    order = rng.permutation(NODES)
    chain = np.column_stack([order[:-1], order[1:]])
    yield "a long chain in random order", chain[rng.permutation(len(chain))]
    yield "a long chain in order", np.column_stack([np.arange(NODES - 1), np.arange(1, NODES)])
    yield "a giant around the smallest", np.column_stack([np.arange(1, NODES), np.zeros(NODES - 1, int)])
    yield "a giant around the largest", np.column_stack([np.arange(NODES - 1), np.full(NODES - 1, NODES - 1)])
    yield "many small ones", rng.integers(0, NODES, (NODES // 2, 2))
    yield (
        "chains of giants",
        np.concatenate([np.column_stack([hub + np.arange(500), np.full(500, hub)]) for hub in range(0, 4500, 450)]),
    )
    yield "repeats and loops", np.array([[5, 5], [7, 3], [7, 3], [3, 7], [9, 9]])
    yield "nothing", np.empty((0, 2), int)


GRAPHS = dict(graphs())


def brute_force(edges):
    """Smallest node of the component of each node that has an edge to another."""
    neighbours = {}
    for a, b in edges.tolist():
        if a != b:
            neighbours.setdefault(a, set()).add(b)
            neighbours.setdefault(b, set()).add(a)
    roots = {}
    for start in sorted(neighbours):
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if node not in roots:
                roots[node] = start
                waiting += neighbours[node]
    nodes = sorted(roots)
    return key(nodes).tolist(), key([roots[node] for node in nodes]).tolist()


def store(folder, edges, files=3):
    paths = [folder / f"edges-{n}" for n in range(files)]
    for path, some in zip(paths, np.array_split(edges, files), strict=True):
        with PairWriter(path) as writer:
            writer.append(key(some[:, 0]), key(some[:, 1]))
    return paths


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
