"""What steps are handed: which parts a step left, and what its tasks share."""

import pytest
from step_runs import local_context

from pipeline.contract.errors import StageError
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.steps.context import Part, parts_in
from pipeline.steps.failures import Failure, as_note, counted


def entry(path: str, rows: int | None = None) -> FileEntry:
    return FileEntry(path=path, bytes=1, sha256="0" * 64, rows=rows)


def test_the_parts_of_a_step_are_its_files_of_documents(tmp_path):
    documents = entry("steps/x/documents/part-00001.parquet", 7)
    commits = [Commit(key="00001", files=(entry("dropped/part-x-00001.parquet", 3), documents)),
               Commit(key="00002", files=(entry("dropped/part-x-00002.parquet", 9),))]  # fmt: skip
    assert parts_in(tmp_path, commits, "steps/x/documents") == [
        Part(key="00001", path=tmp_path / documents.path, rows=7, file=documents)
    ]


def test_tasks_of_stages_know_the_limits_of_the_run(tmp_path):
    work = local_context(tmp_path, dropped_text=True, max_quarantined=0.5).stage_work(())
    assert (work.out, work.isolate, work.dropped_text, work.max_quarantined) == (tmp_path, False, True, 0.5)


def test_failures_of_a_stage_are_counted_over_all_tasks(tmp_path):
    context = local_context(tmp_path, max_quarantined=0.05)
    counts = dict.fromkeys(counted([], "mine.Stage"), 30) | dict.fromkeys(counted(["mine.Stage"]), 150)

    notes = as_note({"mine.Stage": Failure("https://a.example/", "ValueError: bad page")})

    def task(item):
        return Ledger(tmp_path, "x").commit(Commit(key=item.key, files=(), counts=counts, notes=notes))

    tasks = [Part(key=f"{n:05d}", path=tmp_path, rows=0) for n in range(2)]
    with pytest.raises(StageError, match=r"mine\.Stage"):
        context.run("x", task, tasks)
