import dataclasses
import datetime
import hashlib
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract.manifest import sha256_file
from pipeline.dedup.config import DedupConfig, MinHashConfig
from pipeline.engine.ledger import FileEntry, Ledger
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import LocalRunner
from pipeline.engine.settings import RaySettings, RunSettings
from pipeline.steps.context import Context, Part
from pipeline.steps.dedup import step as dedup_step
from pipeline.steps.registry import DEDUP
from pipeline.steps.tables import document_schema, signals_type

SIGNALS = signals_type(())
SCHEMA = document_schema(SIGNALS)
GLOBAL = DedupConfig(scope="global")
CONFIGS = {
    "both": GLOBAL,
    "exact": dataclasses.replace(GLOBAL, minhash=None),
    "near": dataclasses.replace(GLOBAL, exact=False),
}


def word(number):
    """A word for a number; digits would all be normalized to 0."""
    return "w" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


class Killed(BaseException):
    """The driver is gone."""


def document(name, text, **fields):
    row = dict.fromkeys(SCHEMA.names)
    return {**row, "id": name, "url": "", "dump": "", "language": "", "warc_path": "", "warc_offset": 0,
            "cluster_size": 1, "text": text, **fields}  # fmt: skip


def write_parts(folder, parts):
    folder.mkdir()
    found = []
    for number, rows in enumerate(parts):
        path = folder / f"{number}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
        found.append(Part(key=f"{number:05d}", path=path, rows=len(rows)))
    return found


def stored_part(path, key, rows):
    """A part as its commit names it."""
    entry = FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_file(path), rows=rows)
    return Part(key=key, path=path, rows=rows, file=entry)


def dedup(out, parts, config=GLOBAL, runner=None, **settings):
    """(survivors, dropped) as lists of rows."""
    if not (out / "in").exists():
        out.mkdir(exist_ok=True)
        write_parts(out / "in", parts)
    stored = [stored_part(out / "in" / f"{n}.parquet", f"{n:05d}", len(rows)) for n, rows in enumerate(parts)]
    context = Context(
        out=out, settings=RunSettings(**settings), runner=runner or LocalRunner(), progress=PlainProgress(quiet=True)
    )
    dedup_step.run(context, stored, config, SIGNALS)
    kept = pq.read_table(out / DEDUP.folder).to_pylist()
    return kept, pq.read_table(out / "dropped").to_pylist() if (out / "dropped").exists() else []


def clusters(kept, dropped):
    sizes = {row["id"]: row["cluster_size"] for row in kept}
    return sizes, {row["id"]: (row["detail"], row["reason"], row["value"]) for row in dropped}


def family(number, copies, rng):
    """A page, `copies` edited copies of it and one equal copy."""
    words = [word(rng.randrange(3000)) for _ in range(300)]
    yield " ".join(words)
    yield " ".join(words).upper() + "!"
    for _ in range(copies):
        edited = list(words)
        edited[rng.randrange(300)] = word(10_000 + rng.randrange(1000))
        yield " ".join(edited)


def crawl(families=40):
    rng = random.Random(0)
    rows = []
    for number in range(families):
        for text in family(number, number % 4, rng):
            date = datetime.datetime(2024, 1, 1 + rng.randrange(5), tzinfo=datetime.UTC) if rng.random() < 0.8 else None
            rows.append(document(f"{rng.randrange(10**12):012d}", text, date=date))
    return rows


def files_of(out):
    folders = (DEDUP.folder, "dropped")
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in (out / folder).glob("*")
    }


def test_one_of_each_cluster_stays_and_the_others_say_why(tmp_path):
    rows = [
        document("b", "one two three four five six", date=datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)),
        document("a", "One, two, three, four, five, six!", date=datetime.datetime(2024, 1, 3, tzinfo=datetime.UTC)),
        document("c", "something else that is long enough to have shingles of its own"),
    ]
    kept, dropped = dedup(tmp_path / "out", [rows[:1], rows[1:]])
    assert [(row["id"], row["cluster_size"], row["text"]) for row in kept] == [
        ("b", 2, "one two three four five six"),
        ("c", 1, "something else that is long enough to have shingles of its own"),
    ]
    (row,) = dropped
    assert {name: row[name] for name in ("id", "step", "stage", "reason", "value", "limit", "detail", "text")} == {
        "id": "a", "step": "dedup", "stage": "exact", "reason": "exact_duplicate", "value": 1.0, "limit": None,
        "detail": "b", "text": None,
    }  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS)
def test_neither_order_nor_parts_nor_memory_change_the_survivors(tmp_path, config, monkeypatch):
    rows = crawl()
    wanted = clusters(*dedup(tmp_path / "whole", [rows], CONFIGS[config]))
    assert len(wanted[0]) == {"both": 40, "exact": 100, "near": 40}[config]
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 30)
    for parts in range(1, 6):
        random.Random(parts).shuffle(rows)
        ray = RaySettings(memory_per_task=1 << 14) if parts == 4 else RaySettings()
        out = tmp_path / f"in-{parts}"
        assert clusters(*dedup(out, [rows[n::parts] for n in range(parts)], CONFIGS[config], ray=ray)) == wanted


def test_survivors_stand_for_all_documents(tmp_path):
    rows = crawl()
    kept, dropped = dedup(tmp_path / "out", [rows[:100], [], rows[100:]])
    names = {row["id"] for row in kept}
    assert sum(row["cluster_size"] for row in kept) == len(rows) == len(kept) + len(dropped)
    assert {row["detail"] for row in dropped} <= names
    near = [row for row in dropped if row["reason"] == "near_duplicate"]
    assert len(near) > 20
    assert all(row["stage"] == "minhash" and 0.8 < row["value"] <= 1 for row in near)


def test_killed_anywhere_and_run_again_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 60)
    rows = crawl(20)
    parts = [rows[n::3] for n in range(3)]
    dedup(tmp_path / "undisturbed", parts)
    wanted = files_of(tmp_path / "undisturbed")
    commit = Ledger.commit

    def die_after(self, done):
        commit(self, done)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "commit", die_after)
        for tasks in range(100):
            try:
                dedup(tmp_path / "killed", parts)
                break
            except Killed:
                assert tasks < 20
    assert tasks > 8
    assert files_of(tmp_path / "killed") == wanted


def test_documents_without_words_or_shingles(tmp_path):
    texts = ["", "", "word", "Word!", "...", "???", "two words", "one two three four"]
    kept, dropped = dedup(tmp_path / "out", [[document(str(n), text) for n, text in enumerate(texts)]])
    assert [row["id"] for row in kept] == ["0", "2", "4", "5", "6", "7"]
    assert {(row["id"], row["detail"]) for row in dropped} == {("1", "0"), ("3", "2")}


def test_a_hundred_thousand_documents_that_are_all_the_same(tmp_path):
    rows = [document(f"{n:06d}", "all of these are the very same page") for n in range(100_000)]
    kept, dropped = dedup(tmp_path / "out", [rows[:60_000], rows[60_000:]])
    assert [(row["id"], row["cluster_size"]) for row in kept] == [("000000", 100_000)]
    assert len(dropped) == 99_999


@pytest.mark.parametrize(("scope", "survivors"), [("global", 1), ("dump", 2), ("language", 3)])
def test_documents_are_compared_within_their_scope(tmp_path, scope, survivors):
    text = "a page that stands in several dumps and languages at once"
    rows = [document(str(n), text, dump=f"D{n % 2}", language="abc"[n % 3]) for n in range(6)]
    kept, _ = dedup(tmp_path / "out", [rows], DedupConfig(scope=scope))
    assert len(kept) == survivors


def test_too_few_shingles_are_compared_exactly_only(tmp_path):
    words = [word(n) for n in range(60)]
    rows = [document(name, " ".join(text)) for name, text in (("a", words), ("b", words), ("c", [*words, "more"]))]
    few = dataclasses.replace(GLOBAL, minhash=MinHashConfig(min_shingles=57))
    enough = dataclasses.replace(GLOBAL, minhash=MinHashConfig(min_shingles=56))
    assert [row["id"] for row in dedup(tmp_path / "few", [rows], few)[0]] == ["a", "c"]
    assert [row["id"] for row in dedup(tmp_path / "enough", [rows], enough)[0]] == ["a"]


def test_no_dedup_passes_parts_on_unchanged(tmp_path):
    rows = [document(str(n), "the same page again and again") for n in range(3)]
    kept, dropped = dedup(tmp_path / "out", [rows, []], None)
    assert [row["id"] for row in kept] == ["0", "1", "2"]
    assert dropped == []
    stored = (tmp_path / "out" / DEDUP.folder / "part-00000.parquet").read_bytes()
    assert stored == (tmp_path / "out" / "in" / "0.parquet").read_bytes()
    assert (tmp_path / "out" / DEDUP.folder / "part-00000.parquet").samefile(tmp_path / "out" / "in" / "0.parquet")


def test_the_text_of_dropped_documents_is_stored_on_request(tmp_path):
    rows = [document(name, "the same page again and again") for name in "ab"]
    _, dropped = dedup(tmp_path / "out", [rows], dropped_text=True)
    assert [row["text"] for row in dropped] == ["the same page again and again"]


def test_nothing_at_all(tmp_path):
    assert dedup(tmp_path / "out", [[]]) == ([], [])


def test_parts_are_grouped_without_being_split(tmp_path):
    part = Part(key="k", path=tmp_path, rows=9000)
    assert [len(group) for group in dedup_step.group_parts([part] * 5)] == [1, 1, 1, 1, 1]
    small = dataclasses.replace(part, rows=100)
    assert [len(group) for group in dedup_step.group_parts([small] * 400)] == [163, 163, 74]
    assert [len(group) for group in dedup_step.group_parts([dataclasses.replace(part, rows=10**6)] * 2)] == [1, 1]
    assert dedup_step.group_parts([]) == []
