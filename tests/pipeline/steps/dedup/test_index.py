"""Step 3 in its parts: what clusters leave, what is removed, and the index of what was kept."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from step_runs import local_context
from text_steps import document

from pipeline.contract.errors import IntegrityError
from pipeline.contract.manifest import sha256_file
from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.config import DedupConfig
from pipeline.engine.ledger import FileEntry, Ledger
from pipeline.steps.context import Part, parts_in
from pipeline.steps.dedup import index
from pipeline.steps.dedup import step as dedup_step
from pipeline.steps.dedup.clusters import EDGES, SIGNATURES, cluster
from pipeline.steps.dedup.removal import KeepTask, keep_part
from pipeline.steps.registry import DEDUP
from pipeline.steps.tables import document_schema, signals_type

CONFIG = DedupConfig(scope="global")
SIGNALS = signals_type(())
TEXTS = ["one text that stands here twice, word for word", "a text of its own about a mill at the river",
         "one text that stands here twice, word for word"]  # fmt: skip


@pytest.fixture
def part(tmp_path) -> Part:
    path = tmp_path / "in.parquet"
    rows = [document(str(n), text, day=n) for n, text in enumerate(TEXTS)]
    pq.write_table(pa.Table.from_pylist(rows, document_schema(SIGNALS)), path)
    entry = FileEntry(path="in.parquet", bytes=path.stat().st_size, sha256=sha256_file(path), rows=3)
    return Part(key="00000", path=path, rows=3, file=entry)


def test_clusters_are_signatures_edges_and_members(tmp_path, part):
    context = local_context(tmp_path / "out")
    found = cluster(context, [(part,)], CONFIG, 1 << 26)
    assert (len(found.signatures), found.members, found.sets) == (1, 2, ())
    assert set(Ledger(context.out, SIGNATURES).committed()) == {"000000"}
    edges = Ledger(context.out, EDGES).committed()
    assert sum(commit.counts["edges"] for commit in edges.values()) >= 1


def test_without_dedup_a_part_gets_a_second_name(tmp_path, part):
    commit = keep_part(KeepTask(key="00000", out=tmp_path / "out", part=part))
    [entry] = commit.files
    assert (entry.path, entry.sha256, commit.counts["kept"]) == (
        f"{DEDUP.folder}/part-00000.parquet",
        part.file.sha256,
        3,
    )
    assert (tmp_path / "out" / entry.path).samefile(part.path)


def test_the_index_has_the_signatures_of_what_was_kept(tmp_path, part):
    context = local_context(tmp_path / "out")
    commits = dedup_step.run(context, [part], CONFIG, SIGNALS)
    kept = parts_in(context.out, commits.values(), DEDUP.folder)
    [commit] = index.run(context, [part], kept).values()
    assert commit.counts["documents"] == 2
    assert commit.notes["parts"] == [["00000", 2]]
    stored = ArrayFile(context.out / commit.files[0].path)
    assert stored.rows("order") == 2
    assert sorted(stored.read("digest.row").tolist()) == [0, 1]


def test_rows_of_a_later_part_count_from_the_beginning_of_the_group(tmp_path, part):
    context = local_context(tmp_path / "out")
    path = tmp_path / "second.parquet"
    rows = [document(name, f"the text {name} stands nowhere else in this group", day=5) for name in ("x", "y")]
    pq.write_table(pa.Table.from_pylist(rows, document_schema(SIGNALS)), path)
    second = Part(key="00001", path=path, rows=2)
    commits = dedup_step.run(context, [part, second], CONFIG, SIGNALS)
    kept = parts_in(context.out, commits.values(), DEDUP.folder)
    [commit] = index.run(context, [part, second], kept).values()
    signature = ArrayFile(next((context.out / "steps" / SIGNATURES / "files").iterdir()))
    stored = ArrayFile(context.out / commit.files[0].path)
    keys = dict(zip(signature.read("digest.row").tolist(), signature.read("digest.key").tolist(), strict=True))
    found = dict(zip(stored.read("digest.row").tolist(), stored.read("digest.key").tolist(), strict=True))
    assert commit.notes["parts"] == [["00000", 2], ["00001", 2]]
    assert [found[row] for row in (2, 3)] == [keys[row] for row in (3, 4)]


def test_documents_that_step_3_has_not_seen_are_refused(tmp_path, part):
    context = local_context(tmp_path / "out")
    dedup_step.run(context, [part], CONFIG, SIGNALS)
    other = tmp_path / "other.parquet"
    rows = [document(name, "text", day=1) for name in ("1", "0")]
    pq.write_table(pa.Table.from_pylist(rows, document_schema(SIGNALS)), other)
    with pytest.raises(IntegrityError, match="its documents are not those of"):
        index.run(context, [part], [dataclasses.replace(part, path=other, rows=2)])
