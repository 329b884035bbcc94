import numpy as np
import pytest

from pipeline.dedup.array_file import write_arrays
from pipeline.dedup.shingle_sets import SetFiles, first_of_each, jaccard, jaccards, write_sets
from pipeline.dedup.shingles import shingle


def store(folder, group, texts, rows):
    """Files of a group whose documents at `rows` have the texts."""
    found = shingle(texts, 2)
    first, number = first_of_each(found.digests)
    shingles, index = folder / f"{group}.shingles", folder / f"{group}.index"
    offsets = write_sets([shingle([texts[n] for n in first], 2)], shingles)
    write_arrays(index, {"row": np.array(rows, np.uint32), "set": number, "offsets": offsets})
    return SetFiles(index=index, shingles=shingles)


def keys(*pairs):
    return np.array([group << 32 | row for group, row in pairs], np.uint64)


def test_the_jaccard_of_two_sets():
    assert jaccard(np.array([1, 3, 5], np.uint64), np.array([3, 5, 7, 9], np.uint64)) == 2 / 5
    assert jaccard(np.array([1, 3], np.uint64), np.array([1, 3], np.uint64)) == 1
    assert jaccard(np.array([1], np.uint64), np.array([], np.uint64)) == 0
    assert jaccard(np.array([], np.uint64), np.array([], np.uint64)) == 0


def test_equal_texts_share_a_number():
    digests = np.array([[5, 5], [1, 2], [5, 5], [5, 4], [1, 2]], np.uint64)
    first, number = first_of_each(digests)
    assert first.tolist() == [0, 1, 3]
    assert number.tolist() == [0, 1, 0, 2, 1]
    assert [len(part) for part in first_of_each(np.empty((0, 2), np.uint64))] == [0, 0]


@pytest.mark.parametrize("budget", [1, 500, 1 << 30])
def test_pairs_are_compared_whatever_the_memory(tmp_path, budget):
    files = [
        store(tmp_path, 0, ["a b c d e", "A b c d e!", "a b x d e"], [3, 4, 900]),
        store(tmp_path, 1, ["b c d", "one", "a b a b a b c"], [0, 1, 2]),
    ]
    # shingles: ab bc cd de | the same | ab bx xd de | bc cd | none | ab ba bc
    one = keys((0, 3), (0, 900), (0, 3), (1, 1), (1, 2), (1, 0))
    other = keys((0, 4), (0, 3), (1, 0), (0, 3), (0, 900), (0, 4))
    assert jaccards(files, one, other, budget).tolist() == [1, 2 / 6, 2 / 4, 0, 1 / 6, 2 / 4]
    assert jaccards(files, one[:0], other[:0], budget).tolist() == []


def test_equal_texts_are_stored_once(tmp_path):
    files = store(tmp_path, 0, ["a b c d"] * 1000, range(1000))
    assert files.shingles.stat().st_size == 3 * 8


def test_a_document_without_a_set_is_an_error(tmp_path):
    files = [store(tmp_path, 0, ["a b c"], [3]), store(tmp_path, 1, [], [])]
    for missing in ((0, 2), (0, 4), (1, 0)):
        with pytest.raises(ValueError, match="not all of 1 documents have stored shingles"):
            jaccards(files, keys(missing), keys((0, 3)), 1 << 20)
