"""Stars in passes over ranges of nodes, with little memory, beside brute force."""

import itertools

import numpy as np
import pytest
from graphs import GRAPHS, PER_GROUP, brute_force, store

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.star_passes import contract_edges, large_star, small_star, star_members

WHOLE = 1 << 30
BOUNDS = [0, 1 << 32, 3 << 32, 6 << 32]
"""Of the ranges of nodes that one task of a pass looks at."""


class Files:
    """A sink: array files of one pass."""

    def __init__(self, folder):
        self.folder, self.files = folder, []
        folder.mkdir()

    def __call__(self, arrays):
        path = self.folder / str(len(self.files))
        write_arrays(path, arrays)
        self.files.append(ArrayFile(path))

    def pairs(self):
        """The distinct (larger, smaller) of all files."""
        columns = [(file.read("down.key").tolist(), file.read("down.value").tolist()) for file in self.files]
        return sorted({pair for keys, values in columns for pair in zip(keys, values, strict=True)})


def star_pass(folder, star, files, budget, bounds=BOUNDS):
    """The files of a pass, and how many pairs it moved."""
    sink = Files(folder)
    return sink, sum(star(files, low, high, sink, budget)[1] for low, high in itertools.pairwise(bounds))


def stars(folder, edges, budget, bounds=BOUNDS):
    """Passes until nothing moves: the files of the last, and how many rounds it took."""
    sink = Files(folder / "contract")
    contract_edges(store(folder, edges), sink, budget)
    rounds = itertools.count()
    moved = True
    while moved and (number := next(rounds)) < 20:
        sink, widened = star_pass(folder / f"large-{number}", large_star, sink.files, budget, bounds)
        sink, narrowed = star_pass(folder / f"small-{number}", small_star, sink.files, budget, bounds)
        moved = widened + narrowed
    assert not moved
    return sink, number


@pytest.mark.parametrize("name", GRAPHS)
def test_every_component_becomes_a_star_around_its_smallest_node(tmp_path, name):
    edges = GRAPHS[name][:1500]
    nodes, roots = brute_force(edges)
    sink, _ = stars(tmp_path, edges, 1 << 16)
    assert sink.pairs() == [(node, root) for node, root in zip(nodes, roots, strict=True) if node != root]
    found = [block for low, high in itertools.pairwise(BOUNDS)
             for block in star_members(sink.files, low, high, 1 << 14)]  # fmt: skip
    assert [node for block, _ in found for node in block.tolist()] == nodes
    assert [root for _, centres in found for root in centres.tolist()] == roots


def test_neither_memory_nor_ranges_change_the_stars(tmp_path):
    found = []
    for number, (budget, bounds) in enumerate(
        [(1 << 14, BOUNDS), (1 << 17, [0, 6 << 32]), (WHOLE, [0, 2 << 32, 6 << 32])]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(stars(folder, GRAPHS["many small ones"][:300], budget, bounds)[0].pairs())
    assert found[0] == found[1] == found[2] != []


def test_with_room_for_everything_the_contraction_is_final(tmp_path):
    edges = GRAPHS["a long chain in random order"][: 2 * PER_GROUP]
    sink, rounds = stars(tmp_path, edges, WHOLE, [0, 6 << 32])
    assert (rounds, len(sink.files)) == (0, 1)


def test_pairs_stand_both_ways_round_sorted_by_their_first_node(tmp_path):
    sink = Files(tmp_path / "contract")
    assert contract_edges(store(tmp_path, np.array([[5, 1], [5, 9], [2, 3], [3, 2], [7, 7]])), sink, WHOLE) == 3
    [file] = sink.files
    assert (file.read("down.key").tolist(), file.read("down.value").tolist()) == ([3, 5, 9], [2, 1, 1])
    assert (file.read("up.key").tolist(), file.read("up.value").tolist()) == ([1, 1, 2], [5, 9, 3])


def test_no_file_holds_more_than_its_share_of_the_memory(tmp_path):
    sink, budget = Files(tmp_path / "contract"), 1 << 14  # a quarter of it is 64 pairs of 64 bytes
    contract_edges(store(tmp_path, GRAPHS["a long chain in order"]), sink, budget)
    assert max(file.rows("down.key") for file in sink.files) < 2 * 64
