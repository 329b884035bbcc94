"""Benchmark items on pages, through whole builds: what is on record of each page and item, kept or dropped."""

import filecmp
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.contamination import ITEMS, ITEMS_SCHEMA, MATCHES, read_contamination
from pipeline.contract.errors import InputError
from pipeline.flow import build
from pipeline.tools.remove import Takedown, remove
from pipeline.tools.verify import verify

LONG = "A miller grinds seven sacks of wheat before noon and twelve more after it, how many sacks?"  # 17 words
SHORT = "Which grain did the old mill grind first?"  # 8 words
QUIZ = f"Quiz. {LONG} Answer: nineteen."
ITEMS_GIVEN = [
    {"id": "long", "query": LONG, "choices": ["nineteen", "twenty sacks of the finest flour"]},
    {"id": "short", "query": SHORT},
    {"id": "elsewhere", "query": "On no page of this crawl stands this question of more than thirteen words, does it?"},
    {"id": "tiny", "query": "What is a mill?"},
]


def planted(seed: int, *texts: str) -> str:
    """An article with paragraphs planted in it."""
    return article(seed).replace("</main>", "".join(f"<p>{text}</p>" for text in texts) + "</main>")


PAGES = {
    "first.warc.gz": [
        Page(url="https://a.example/clean", html=article(1)),
        Page(url="https://a.example/quiz", html=planted(2, QUIZ, SHORT)),
        Page(url="https://a.example/part", html=planted(3, " ".join(LONG.split()[:13]))),
    ],
    "second.warc.gz": [
        Page(url="https://b.example/copy", html=planted(2, QUIZ, SHORT), date="2025-01-01T00:00:00Z"),
        Page(url="https://b.example/clean", html=article(4)),
    ],
}  # fmt: skip
STAGES = {
    "drop": "filter: []\ntokenize:\n  stages: [pii, {decontaminate: {benchmarks: [BENCHMARK]}}]\n",
    "flag": "filter: [{decontaminate: {benchmarks: [BENCHMARK], max_overlap: null}}]\ntokenize:\n",
}


def run(folder: Path, name: str, out: str, **options) -> Path:
    benchmark = folder / "mill.jsonl"
    benchmark.write_text("\n".join(map(json.dumps, ITEMS_GIVEN)), encoding="utf-8")
    for file, pages in PAGES.items():
        write_warc(folder / file, pages)
    text = f"extract: [{{main_text: {{engine: resiliparse}}}}]\n{STAGES[name].replace('BENCHMARK', str(benchmark))}"
    (folder / f"{name}.yaml").write_text(text + "  train_tokenizer: {vocabulary_size: 400}\nrun: {isolate: false}\n")
    config = load_config(
        folder / f"{name}.yaml", inputs=[f"{folder}/*.warc.gz"], output=str(folder / out), local=True, **options
    )
    build(config, quiet=True)
    return folder / out


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("contamination")


@pytest.fixture(scope="module")
def dropping(folder) -> Path:
    """A run whose last step drops pages with items."""
    return run(folder, "drop", "drop")


@pytest.fixture(scope="module")
def flagging(folder) -> Path:
    """A run whose second step only puts them on record."""
    return run(folder, "flag", "flag")


def matches(out: Path) -> list[tuple]:
    return [
        (row["url"].removeprefix("https://"), row["item"], row["outcome"], row["reason"], row["ngrams"], row["length"])
        for row in pq.read_table(out / MATCHES).to_pylist()
    ]


def items(out: Path) -> list[tuple]:
    return [tuple(row.values())[1:7] for row in pq.read_table(out / ITEMS).to_pylist()]


def problems(out: Path) -> list[str]:
    return [problem for check in verify(out) for problem in check.problems]


def test_dropped_pages_are_on_record_with_their_items(dropping):
    reason = "tokenize.decontaminate.benchmark_overlap"
    assert matches(dropping) == [
        ("a.example/quiz", "long", "dropped", reason, 5, 17),
        ("a.example/quiz", "short", "dropped", reason, 1, 8),
        ("a.example/part", "long", "dropped", reason, 1, 13),
    ]  # the copy went before, as a duplicate
    assert items(dropping) == [
        ("long", True, 0, 2, 5, 17),
        ("short", True, 0, 1, 1, 8),
        ("elsewhere", True, 0, 0, 0, 0),
        ("tiny", False, 0, 0, 0, 0),
    ]
    assert problems(dropping) == []


def test_a_stage_that_only_flags_tells_what_became_of_each_page(flagging):
    assert matches(flagging) == [
        ("a.example/quiz", "long", "kept", None, 5, 17),
        ("a.example/quiz", "short", "kept", None, 1, 8),
        ("a.example/part", "long", "kept", None, 1, 13),
        ("b.example/copy", "long", "dropped", "dedup.exact.exact_duplicate", 5, 17),
        ("b.example/copy", "short", "dropped", "dedup.exact.exact_duplicate", 1, 8),
    ]
    assert items(flagging)[:2] == [("long", True, 2, 1, 5, 17), ("short", True, 1, 1, 1, 8)]
    assert problems(flagging) == []


def test_the_reader_tells_clean_contaminated_and_unchecked_apart(dropping, flagging, folder):
    clean = {("mill.jsonl", "long"): "clean", ("mill.jsonl", "short"): "clean",
             ("mill.jsonl", "elsewhere"): "clean", ("mill.jsonl", "tiny"): "unchecked"}  # fmt: skip
    assert read_contamination(dropping).states == clean  # the pages with the items were dropped
    found = read_contamination(flagging)
    assert found.states == clean | dict.fromkeys([("mill.jsonl", "long"), ("mill.jsonl", "short")], "contaminated")
    assert list(found.files) == ["mill.jsonl"]


def test_the_same_bytes_whoever_drops_or_keeps_the_steps(flagging, folder):
    other = run(folder, "flag", "again", overrides=["run.keep_steps=false", "run.isolate=true"])
    assert problems(other) == []
    for name in (MATCHES, ITEMS):
        assert filecmp.cmp(flagging / name, other / name, shallow=False)


def test_the_same_bytes_after_a_kill_between_the_steps_and_this(flagging, folder):
    other = run(folder, "flag", "killed")
    shutil.rmtree(other / "contamination")
    shutil.rmtree(other / "steps" / "contamination")
    (other / "steps" / "filter" / "commits" / "00001.json").unlink()
    record = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**record, "state": "running"}))
    run(folder, "flag", "killed")
    assert problems(other) == []
    for name in (MATCHES, ITEMS):
        assert filecmp.cmp(flagging / name, other / name, shallow=False)


def test_a_page_taken_out_is_no_longer_kept_here_either(flagging, tmp_path):
    remove(flagging, tmp_path / "out", Takedown(urls=frozenset({"https://a.example/quiz"})))
    assert matches(tmp_path / "out")[:3] == [
        ("a.example/quiz", "long", "dropped", "tokenize.takedown.url", 5, 17),
        ("a.example/quiz", "short", "dropped", "tokenize.takedown.url", 1, 8),
        ("a.example/part", "long", "kept", None, 1, 13),
    ]
    assert items(tmp_path / "out")[:2] == [("long", True, 1, 2, 5, 17), ("short", True, 0, 2, 1, 8)]
    assert problems(tmp_path / "out") == []


def test_a_run_without_the_stage_has_nothing_to_tell(folder, tmp_path):
    write_warc(tmp_path / "a.warc.gz", PAGES["first.warc.gz"])
    (tmp_path / "c.yaml").write_text(
        "extract: [{main_text: {engine: resiliparse}}]\ntokenize: {train_tokenizer: {vocabulary_size: 400}}\n"
        f"run: {{local: true, isolate: false, output: {tmp_path}/out}}"
    )
    build(load_config(tmp_path / "c.yaml", inputs=[f"{tmp_path}/a.warc.gz"]), quiet=True)
    assert not (tmp_path / "out" / "contamination").exists()
    with pytest.raises(InputError, match="has not looked for benchmark items"):
        read_contamination(tmp_path / "out")
    with pytest.raises(InputError, match="is not a run folder"):
        read_contamination(tmp_path)
    assert problems(tmp_path / "out") == []


def damage_items(out: Path) -> None:
    rows = pq.read_table(out / ITEMS).to_pylist()
    rows[0]["kept"] += 1
    pq.write_table(pa.Table.from_pylist(rows[:-1], ITEMS_SCHEMA), out / ITEMS)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (damage_items, "mill.jsonl long: items.parquet says 3 kept and 1 dropped, found (2, 1)"),
        (lambda out: (out / MATCHES).unlink(), "contamination/matches.parquet is missing"),
        (lambda out: (out / "contamination" / "more.parquet").write_bytes(b""), "more.parquet: no task committed it"),
        (lambda out: (out / "documents/part-00000.parquet").unlink(), "is not kept, as matches.parquet says"),
    ],
)
def test_verify_finds_what_does_not_fit(flagging, tmp_path, damage, problem):
    shutil.copytree(flagging, tmp_path / "out")
    damage(tmp_path / "out")
    assert any(problem in found for found in problems(tmp_path / "out"))
