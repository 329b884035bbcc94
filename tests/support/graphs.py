"""Graphs of documents as edge files, and their components by brute force."""

import numpy as np

from pipeline.dedup.pairs import PairWriter

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
