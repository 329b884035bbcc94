"""Whole builds that verify near-duplicates: the same bytes however they are run, the same survivors in any order."""

import filecmp
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dedup_step import families, outcome

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.flow import build
from pipeline.tools.verify import verify

CONFIG = """
dedup: {scope: global, minhash: {verify: {min_jaccard: 0.75}}}
tokenize: {train_tokenizer: {vocabulary_size: 400}, tokens_per_shard: 20000}
"""
ROWS = families(25, 4, words=120, edits=(0, 1, 2, 4, 20))
PUBLISHED = ("documents", "dropped", "tokens")


def write_inputs(folder: Path, names: str) -> list[str]:
    """The pages in files of these names, one after another."""
    folder.mkdir()
    for number, name in enumerate(names):
        lines = (json.dumps({"id": row["id"], "text": row["text"]}) for row in ROWS[number :: len(names)])
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return [str(folder / f"{name}.jsonl") for name in names]


def run(folder: Path, inputs: list[str], out: Path, **options) -> RunRecord:
    (folder / "build.yaml").write_text(CONFIG)
    return build(load_config(folder / "build.yaml", inputs=inputs, output=str(out), **options), quiet=True)


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> tuple[Path, list[str], Path]:
    """(folder, inputs, run folder) of a build in one process."""
    folder = tmp_path_factory.mktemp("similarity")
    inputs = write_inputs(folder / "in", "abcd")
    run(folder, inputs, folder / "out", local=True)
    return folder, inputs, folder / "out"


def survivors(out: Path):
    return outcome(*(pq.read_table(out / part).to_pylist() for part in ("documents", "dropped")))


def assert_same_bytes(one: Path, other: Path) -> None:
    for folder in PUBLISHED:
        names = sorted(path.name for path in (one / folder).iterdir())
        assert names == sorted(path.name for path in (other / folder).iterdir())
        assert filecmp.cmpfiles(one / folder, other / folder, names, shallow=False)[1:] == ([], []), folder


def test_the_run_holds_and_says_how_similar_its_duplicates_were(local):
    _, _, out = local
    assert {check.name: check.problems for check in verify(out) if not check.ok} == {}
    near = pq.read_table(out / "dropped", filters=[("reason", "=", "near_duplicate")]).to_pylist()
    assert len(near) > 20
    assert all(row["value"] < 1 and abs(row["value"] - row["estimate"]) < 0.2 for row in near)


def test_the_order_of_the_inputs_given_changes_no_byte(local, tmp_path):
    folder, inputs, out = local
    run(folder, inputs[::-1], tmp_path / "out", local=True)
    assert_same_bytes(out, tmp_path / "out")


def test_the_order_of_the_files_changes_no_survivor(local, tmp_path):
    _, _, out = local
    run(tmp_path, write_inputs(tmp_path / "in", "zqma"), tmp_path / "out", local=True)
    assert survivors(tmp_path / "out") == survivors(out)
    assert 30 < len(survivors(out)[0]) < 80


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_writes_the_same_bytes(local, tmp_path, workers):
    folder, inputs, out = local
    run(folder, inputs, tmp_path / "out", overrides=[f"run.workers={workers}"])
    assert_same_bytes(out, tmp_path / "out")
