"""A small stand-in for large inputs: whole records, from places that the seed chooses."""

import json

import pytest

from pipeline.sources.listing import expand
from pipeline.sources.sampling import PLACES, take_sample


@pytest.fixture
def inputs(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), "text": f"text {n}"}) + "\n" for n in range(2000)))
    return expand((str(path),))


def sample(inputs, folder, **fields):
    folder.mkdir()
    return [(part, part.path.read_text()) for part in take_sample(inputs, 100, folder, **fields)]


def test_stretches_are_whole_rows_of_the_input_in_about_the_wanted_number(inputs, tmp_path):
    found = sample(inputs, tmp_path / "s")
    assert len(found) == PLACES
    rows = [json.loads(line) for _, text in found for line in text.splitlines()]
    assert 90 <= len(rows) <= 110 and len({row["id"] for row in rows}) == len(rows)
    assert all(row["text"] == f"text {row['id']}" for row in rows)
    assert sum(part.bytes for part, _ in found) > 0


def test_the_seed_alone_decides_which(inputs, tmp_path):
    texts = {name: [text for _, text in sample(inputs, tmp_path / name, seed=seed)] for name, seed in
             (("a", 1), ("b", 1), ("c", 2))}  # fmt: skip
    assert texts["a"] == texts["b"] != texts["c"]
