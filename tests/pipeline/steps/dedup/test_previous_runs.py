"""A dump is added to what previous runs kept: they stay as they are, and every page that goes says what it matched."""

import hashlib
import json
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.run import RunRecord
from pipeline.engine.ledger import Ledger
from pipeline.flow import build
from pipeline.steps.dedup import step as dedup_step
from pipeline.tools.verify import verify

CONFIG = """
dedup: {scope: global}
tokenize: {train_tokenizer: {vocabulary_size: 300}}
run: {local: true}
"""


def word(number: int) -> str:
    """A word for a number; digits would all be normalized to 0."""
    return "w" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def text(number: int, edits: int = 0) -> str:
    """The text of a page of 300 words; each edit changes up to 5 of its 296 shingles."""
    rng = random.Random(number)
    words = [word(rng.randrange(3000)) for _ in range(300)]
    for edit in range(edits):
        words[20 * edit + 10] = word(5000 + rng.randrange(1000))
    return " ".join(words)


def page(name: str, content: str, day: int, **fields: str) -> dict[str, str]:
    return {"id": name, "url": f"https://site.example/{name}", "text": content, "date": f"2024-01-{day:02d}", **fields}


def write(path: Path, *files: list[dict[str, str]]) -> None:
    path.mkdir()
    for number, rows in enumerate(files):
        table = pa.Table.from_pylist(rows or [], pa.schema([(n, pa.string()) for n in ("id", "url", "text", "date")]))
        pq.write_table(table, path / f"{number}.parquet")


def run(folder: Path, dump: str, *overrides: str, out: str = "") -> Path:
    """A build of a folder of pages."""
    (folder / "build.yaml").write_text(CONFIG)
    target = folder / (out or f"out-{dump}")
    config = load_config(folder / "build.yaml", inputs=[str(folder / dump / "*.parquet")], output=str(target),
                         overrides=overrides)  # fmt: skip
    build(config, quiet=True)
    return target


def against(*outs: Path) -> str:
    return f"dedup.previous_runs={json.dumps([str(out) for out in outs])}"


def kept(out: Path) -> set[str]:
    return set(pq.read_table(out / "documents", columns=["id"])["id"].to_pylist())


def dropped(out: Path) -> dict[str, dict[str, object]]:
    return {row["id"]: row for row in pq.read_table(out / "dropped").to_pylist()}


def published(out: Path) -> dict[str, str]:
    folders = ("documents", "dropped", "quarantine", "tokens")
    return {
        f"{folder}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted((out / folder).iterdir())
    }


def jaccard(one: str, other: str) -> float:
    """Of sets of word 5-grams, written out."""
    first, second = (
        {tuple(words[at : at + 5]) for at in range(len(words) - 4)} for words in (one.split(), other.split())
    )
    return len(first & second) / len(first | second)


FIRST = [page(f"a{number}", text(number), 1 + number % 5) for number in range(30)] + [
    page("a0-again", text(0, edits=1), 9)
]
SECOND = [
    *(page(f"b{number}", text(100 + number), 11) for number in range(20)),
    *(page(f"b-same{number}", text(number).upper() + "!", 12) for number in range(5)),
    *(page(f"b-near{number}", text(10 + number, edits=2), 13) for number in range(5)),
    page("b3-again", text(103, edits=1), 14),
]
THIRD = [
    page("c-of-a", text(20, edits=1), 21),
    page("c-of-b", text(105, edits=1), 21),
    page("c-new", text(300), 22),
    page("c-new-again", text(300), 23),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Three dumps, each added to those before it, and all of them in one build."""
    folder = tmp_path_factory.mktemp("incremental")
    write(folder / "1", FIRST[:20], FIRST[20:])
    write(folder / "2", SECOND[:7], SECOND[7:])
    write(folder / "3", THIRD)
    write(folder / "all", FIRST, SECOND, THIRD)
    first = run(folder, "1")
    second = run(folder, "2", against(first))
    run(folder, "3", against(first, second))
    run(folder, "all")
    return folder


def test_dump_by_dump_keeps_what_one_build_keeps(runs):
    one_by_one = [kept(runs / f"out-{number}") for number in (1, 2, 3)]
    assert set.union(*one_by_one) == kept(runs / "out-all")
    assert sum(map(len, one_by_one)) == len(kept(runs / "out-all")) == 30 + 20 + 1


def test_what_a_new_page_matched_is_on_record(runs):
    rows = dropped(runs / "out-2")
    assert set(rows) == {*(f"b-same{n}" for n in range(5)), *(f"b-near{n}" for n in range(5)), "b3-again"}
    same = rows["b-same2"]
    assert {name: same[name] for name in ("step", "stage", "reason", "value", "detail", "match_url", "match_run")} == {
        "step": "dedup", "stage": "previous_runs", "reason": "exact_duplicate", "value": 1.0, "detail": "a2",
        "match_url": "https://site.example/a2", "match_run": str(runs / "out-1"),
    }  # fmt: skip
    for number in range(5):
        near = rows[f"b-near{number}"]
        assert (near["stage"], near["reason"], near["detail"]) == ("previous_runs", "near_duplicate", f"a{10 + number}")
        assert near["value"] == pytest.approx(jaccard(text(10 + number), text(10 + number, edits=2)), abs=1e-12)
        assert near["value"] != 1
        assert near["estimate"] == pytest.approx(near["value"], abs=0.15)
    within = rows["b3-again"]
    names = ("stage", "detail", "match_run", "match_url")
    assert [within[name] for name in names] == ["minhash", "b3", None, None]


def test_a_chain_of_runs_says_which_of_them_it_was(runs):
    rows = dropped(runs / "out-3")
    assert {name: (row["stage"], row["detail"], row["match_run"]) for name, row in rows.items()} == {
        "c-of-a": ("previous_runs", "a20", str(runs / "out-1")),
        "c-of-b": ("previous_runs", "b5", str(runs / "out-2")),
        "c-new-again": ("exact", "c-new", None),
    }
    totals = RunRecord.read(runs / "out-3").totals
    assert totals.dropped == {"dedup.previous_runs.near_duplicate": 2, "dedup.exact.exact_duplicate": 1}


def test_earlier_survivors_never_change(tmp_path):
    """A page that lies between two that were kept would join them in one build; added later it goes, and they stay."""
    words = text(1).split()
    left, bridge, right = " ".join(words[:200]), " ".join(words), " ".join(words[100:])
    write(tmp_path / "1", [page("left", left, 5), page("right", right, 6)])
    older = [page("bridge", bridge, 1), page("other", text(2), 1)]
    write(tmp_path / "2", older)
    write(tmp_path / "all", [page("left", left, 5), page("right", right, 6), *older])
    loose = "dedup.minhash.rows=4"  # 196 of 296 shingles are shared with either, 96 by the two
    first = run(tmp_path, "1", loose)
    before = published(first)
    assert kept(first) == {"left", "right"}
    second = run(tmp_path, "2", against(first), loose)
    assert kept(second) == {"other"}
    [row] = dropped(second).values()
    assert row["detail"] in ("left", "right")  # whichever the sketches find more alike; both are so to 196 / 296
    assert row["value"] == pytest.approx(196 / 296, abs=1e-12)
    assert published(first) == before
    assert kept(run(tmp_path, "all", loose)) == {"bridge", "other"}


def test_verify_holds_and_finds_a_document_that_the_earlier_run_has_not(runs, tmp_path):
    for number in (1, 2, 3):
        assert {c.name: c.problems for c in verify(runs / f"out-{number}") if not c.ok} == {}
    out = tmp_path / "out"
    shutil.copytree(runs / "out-2", out)
    [path] = [path for path in (out / "dropped").iterdir() if "b-same0" in pq.read_table(path)["id"].to_pylist()]
    table = pq.read_table(path)
    wrong = ["nobody" if name == "a0" else name for name in table["detail"].to_pylist()]
    pq.write_table(table.set_column(table.schema.get_field_index("detail"), "detail", [wrong]), path)
    [check] = [c for c in verify(out) if c.name == "previous runs have what was dropped for them"]
    assert check.problems == (f"{runs / 'out-1'} has no document nobody, https://site.example/a0",)


def test_the_same_bytes_for_any_memory_and_grouping(runs, tmp_path, monkeypatch):
    shutil.copytree(runs / "2", tmp_path / "2")
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 5)
    other = run(tmp_path, "2", against(runs / "out-1"), "run.memory=20000")
    wanted, found = dropped(runs / "out-2"), dropped(other)
    for row in (*wanted.values(), *found.values()):
        del row["warc_path"]
    assert (kept(other), found) == (kept(runs / "out-2"), wanted)


@pytest.mark.slow
def test_ray_writes_the_same_bytes(runs):
    other = run(runs, "2", against(runs / "out-1"), "run.local=false", "run.workers=2", "run.memory=20000", out="ray")
    assert published(other) == published(runs / "out-2")


class Killed(BaseException):
    """The driver is gone."""


def test_killed_in_any_phase_and_run_again_gives_the_same_bytes(runs, monkeypatch):
    commit = Ledger.commit

    def die_after(self, done):
        commit(self, done)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "commit", die_after)
        for attempts in range(60):
            try:
                run(runs, "2", against(runs / "out-1"), out="killed")
                break
            except Killed:
                assert attempts < 50
    assert attempts > 15
    assert published(runs / "killed") == published(runs / "out-2")


@pytest.mark.parametrize("setting", ["dedup.minhash.verify={min_jaccard: 0.8}", "dedup.minhash=null"])
def test_with_verified_candidates_and_with_exact_ones_alone(runs, tmp_path, setting):
    for name in ("1", "2"):
        shutil.copytree(runs / name, tmp_path / name)
    first = run(tmp_path, "1", setting)
    rows = dropped(run(tmp_path, "2", against(first), setting))
    near = {f"b-near{number}" for number in range(5)} | {"b3-again"}
    assert set(rows) == {f"b-same{number}" for number in range(5)} | (set() if "null" in setting else near)
    assert all(row["value"] >= 0.8 for row in rows.values())


def test_an_index_outlives_the_other_steps(runs, tmp_path):
    for name in ("1", "2"):
        shutil.copytree(runs / name, tmp_path / name)
    first = run(tmp_path, "1", "run.keep_steps=false")
    folders = {path.relative_to(first / "steps").as_posix() for path in (first / "steps").glob("*/*") if path.is_dir()}
    assert {folder for folder in folders if not folder.endswith("/commits")} == {"index/files"}
    assert all(check.ok for check in verify(first))
    second = run(tmp_path, "2", against(first))
    assert kept(second) == kept(runs / "out-2")
    index = next((first / "steps/index/files").iterdir())
    index.write_bytes(index.read_bytes()[:-8] + b"\0" * 8)
    assert "every file is as committed" in {check.name for check in verify(first) if not check.ok}


def test_runs_that_cannot_be_compared_with(runs, tmp_path):
    shutil.copytree(runs / "2", tmp_path / "2")
    first = str(runs / "out-1")

    def refused(error: type[Exception], *overrides: str) -> str:
        with pytest.raises(error) as caught:
            run(tmp_path, "2", *overrides)
        assert not (tmp_path / "out-2" / "run.json").exists()
        return str(caught.value)

    said = refused(ConfigError, against(Path(first)), "dedup.minhash.bands=20", "dedup.normalize.numbers=false")
    assert "dedup.previous_runs[0]" in said
    assert "dedup.minhash.bands: 14 -> 20" in said
    assert "dedup.normalize.numbers: true -> false" in said
    said = refused(ConfigError, against(Path(first)), "dedup.scope=language")
    assert 'dedup.scope: "global" -> "language"' in said
    assert "is not a run folder" in refused(InputError, against(tmp_path / "nothing"))
    assert "given twice" in refused(ConfigError, against(Path(first), Path(first)))
    assert "leave one out" in refused(ConfigError, against(Path(first)), "dedup.remove=false")
    copy = tmp_path / "copy"
    shutil.copytree(runs / "out-1", copy)
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "state": "failed"}))
    assert "is failed, not done" in refused(InputError, against(copy))
    (copy / "run.json").write_text(json.dumps(record))
    document = copy / "documents/part-00000.parquet"
    document.write_bytes(document.read_bytes()[:-1])
    assert "documents/part-00000.parquet has" in refused(InputError, against(copy))
    next((copy / "steps/index/files").iterdir()).unlink()
    assert "is gone" in refused(InputError, against(copy))
    shutil.rmtree(copy / "steps/index")
    assert "has no index" in refused(InputError, against(copy))


@pytest.mark.parametrize("name", ["steps/index/files/000000", "documents/part-00000.parquet"])
def test_a_flipped_bit_in_an_earlier_run_is_noticed(runs, tmp_path, name):
    shutil.copytree(runs / "2", tmp_path / "2")
    shutil.copytree(runs / "out-1", tmp_path / "old")
    content = bytearray((tmp_path / "old" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "old" / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} has changed since it was committed"):
        run(tmp_path, "2", against(tmp_path / "old"))


def test_scope_dump_has_nothing_to_compare_with_another_dump(runs, tmp_path):
    for name in ("1", "2"):
        shutil.copytree(runs / name, tmp_path / name)
    first = run(tmp_path, "1", "dedup.scope=dump", "input.dump=CC-1")
    with pytest.raises(ConfigError, match="is of dump 'CC-1', this run of 'CC-2', and scope: dump compares within one"):
        run(tmp_path, "2", against(first), "dedup.scope=dump", "input.dump=CC-2")
    more = run(tmp_path, "2", against(first), "dedup.scope=dump", "input.dump=CC-1")  # more files of one dump
    assert kept(more) == kept(runs / "out-2")


def test_another_earlier_run_is_another_run(runs, tmp_path):
    """The folder's name is the same, what it holds is not."""
    for name in ("1", "2"):
        shutil.copytree(runs / name, tmp_path / name)
    first = run(tmp_path, "1")
    run(tmp_path, "2", against(first))
    shutil.rmtree(first)
    run(tmp_path, "1", "seed=5")
    with pytest.raises(ConfigError, match="holds a run with another config or input"):
        run(tmp_path, "2", against(first))
