"""A sweep predicts what a build with other limits keeps, exactly, from stored values alone."""

import json
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner
from warc_pages import prose

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import ConfigError, InputError
from pipeline.engine.ledger import Ledger, add_counts
from pipeline.flow import build
from pipeline.storage.remote import RemoteSettings
from pipeline.tools.publish import publish
from pipeline.tools.sweep import sweep

CONFIG = """
input: {format: jsonl}
filter: [gopher_repetition, gopher_quality, c4: {min_sentences: 2}, text_repair, fineweb]
dedup: null
tokenize: {train_tokenizer: {vocabulary_size: 400}}
run: {local: true, isolate: false}
"""
WORDS = "filter.gopher_quality.min_words"
HASHES = "filter.gopher_quality.max_hashes_per_word"
SHORT = "filter.fineweb.max_short_lines"


def plain(seed: int, sentences: int) -> str:
    """Prose, a sentence a line."""
    return prose(seed, sentences).replace("<p>", "").replace("</p>", "\n").strip()


def texts() -> dict[str, str]:
    """Prose of 2 to 13 sentences, some of it in short lines, and hashes at exactly 0.1 per word."""
    found = {f"prose-{n}": plain(n, n) for n in range(2, 14)}
    for n in range(4, 15, 2):
        found[f"lines-{n}"] = plain(n, 6) + "".join(f"\nShort line {word}." for word in "abcdefghijklmno"[:n])
    sentences = plain(77, 9).split("\n")  # 20 words each, the full stop included
    hashed = "\n".join([*sentences, " ".join(["#"] * 20)])
    return found | {"hashed": hashed}


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    rows = [
        json.dumps({"id": name, "url": f"https://a.example/{name}", "text": text}) for name, text in texts().items()
    ]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "build.yaml").write_text(CONFIG)
    run(folder, folder / "out")
    return folder / "out"


def run(folder: Path, out: Path, *overrides: str, reuse: Path | None = None) -> None:
    inputs = [str(folder / "rows.jsonl")]
    config = load_config(folder / "build.yaml", inputs=inputs, output=str(out), overrides=overrides)
    build(config, quiet=True, reuse=reuse)


def kept(out: Path) -> int:
    return add_counts(Ledger(out, "filter").committed())["kept"]


def test_every_point_of_a_grid_keeps_what_a_build_with_its_limits_keeps(out, tmp_path):
    found = sweep(out, [f"{WORDS}=20,50,100,180", f"{SHORT}=0.5,0.67"])
    assert found.entered == len(texts())
    assert len({setting.documents for setting in found.settings}) > 3
    for number, setting in enumerate(found.settings):
        again = tmp_path / str(number)
        limits = [f"{key}={value}" for key, value in setting.limits.items()]
        run(out.parent, again, *limits, reuse=out)
        assert setting.documents == kept(again), limits
        assert setting.documents == kept(out) + setting.gained - setting.lost


def test_the_runs_own_limits_are_marked_and_change_nothing(out):
    own, other = sweep(out, [f"{WORDS}=50,51"]).settings
    assert (own.current, own.documents, own.gained, own.lost, own.flips) == (True, kept(out), 0, 0, ())
    assert not other.current


def test_tokens_of_tokenized_documents_are_counted_not_estimated(out):
    (own,) = sweep(out, [f"{WORDS}=50"]).settings
    assert own.tokens == json.loads((out / "tokens/manifest.json").read_text())["tokens"]


def test_tokens_of_other_documents_follow_from_their_words(out):
    found = sweep(out, [f"{WORDS}=50,20"])
    own, wider = found.settings
    added = sum(
        flip.values["gopher_quality.words"] for flip in sweep(out, [f"{WORDS}=20"], examples=99).settings[0].flips
    )
    assert wider.tokens == pytest.approx(own.tokens + added * found.tokens_per_word, abs=1)


def test_a_value_at_its_limit_is_kept(out):
    (own,) = sweep(out, [f"{HASHES}=0.1"]).settings
    assert (own.lost, own.gained) == (0, 0)
    (below,) = sweep(out, [f"{HASHES}=0.09"]).settings
    assert [(flip.change, flip.id) for flip in below.flips] == [("lost", "hashed")]


def test_examples_say_which_document_flips_and_how_it_begins(out):
    (wider,) = sweep(out, [f"{WORDS}=20"], examples=1).settings
    (flip,) = wider.flips
    assert (flip.change, flip.url) == ("gained", f"https://a.example/{flip.id}")
    assert 20 <= flip.values["gopher_quality.words"] < 50
    assert " ".join(texts()[flip.id].split()).startswith(flip.excerpt)
    assert flip.excerpt


def test_the_limits_of_one_language_are_swept_apart_from_the_others(out, tmp_path):
    german = [{"id": f"de-{n}", "url": f"https://b.example/{n}", "text": plain(n, n), "language": "de"} for n in (3, 6)]
    rows = (out.parent / "rows.jsonl").read_text() + "".join(json.dumps(row) + "\n" for row in german)
    (tmp_path / "rows.jsonl").write_text(rows)  # 57 and 114 words: kept alike
    (tmp_path / "build.yaml").write_text(CONFIG)
    own = "filter.gopher_quality.languages.de.min_words"
    run(tmp_path, tmp_path / "out")
    run(tmp_path, tmp_path / "strict", f"{own}=100", reuse=tmp_path / "out")
    stricter, off = sweep(tmp_path / "out", [f"{own}=100,null"]).settings
    assert stricter.documents == kept(tmp_path / "strict") == kept(tmp_path / "out") - 1
    assert [flip.id for flip in stricter.flips] == ["de-3"]
    assert (off.limits, off.documents) == ({own: None}, kept(tmp_path / "out"))
    (everyone,) = sweep(tmp_path / "strict", [f"{WORDS}=1000"], examples=99).settings
    assert {flip.id for flip in everyone.flips if flip.change == "lost"}.isdisjoint({"de-3", "de-6"})
    rows = pq.read_table(tmp_path / "strict/dropped").to_pylist()
    assert [row["limit"] for row in rows if row["id"] == "de-3"] == [100.0]


def test_null_turns_a_limit_off(out):
    (off,) = sweep(out, [f"{WORDS}=null"]).settings
    assert off.limits == {WORDS: None}
    assert off.lost == 0


def test_stages_without_raw_values_are_named(out):
    assert sweep(out, [f"{WORDS}=20"]).not_rejudged == ("text_repair",)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (["filter.gopher_quality.min_word=3"], "did you mean 'min_words'"),
        (["filter.gopher_qualty.min_words=3"], "did you mean 'gopher_quality'"),
        (["filter.fineweb.short_line_length=3"], "no limit of 'fineweb' that follows from a stored value"),
        (["filter.text_repair.width=3"], "no stage 'text_repair' that stored raw values"),
        (["dedup.minhash.bands=5"], "only limits of the stages under `filter`"),
        (["extract.language_id.min_score=0.5"], "the run has no stage 'language_id' in step 1"),
        ([f"{WORDS}=3", f"{WORDS}=4"], "is given twice"),
        (["filter.gopher_quality.languages.de.min_word=3"], "did you mean 'min_words'"),
        (["filter.gopher_quality.languages.de=3"], "no limit of 'gopher_quality'"),
        (["filter.gopher_quality.min_words"], "expected KEY=VALUE"),
        (["filter.gopher_quality.min_words=-1"], "min_words: must be a number of at least 0"),
        (["filter.gopher_quality.min_words=many"], "expected a whole number"),
        ([f"{WORDS}=1", f"{SHORT}=1", f"{HASHES}=1"], "one or two limits"),
        ([f"{WORDS}={','.join(map(str, range(101)))}"], "101 settings are more than 100"),
    ],
)
def test_what_cannot_be_swept_is_refused_by_name(out, grid, message):
    with pytest.raises(ConfigError) as caught:
        sweep(out, grid)
    assert message in str(caught.value)


MIXED_CONFIG = """
input: {format: jsonl}
extract: [language_id: {keep: [en], min_score: 0.65}]
filter: [gopher_quality: {min_words: 25, max_mean_word_length: 20}]
dedup: null
tokenize: {train_tokenizer: {vocabulary_size: 400}}
run: {local: true, isolate: false, keep_index: false}
"""
ENGLISH = "The river rises in the hills and flows through the old town to the sea, where boats wait for the tide. "
GERMAN = "Der Fluss entspringt in den Hügeln und fließt durch die alte Stadt zum Meer, wo Boote auf die Flut warten. "
SCORE = "extract.language_id.min_score"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """A run over texts of two languages in every proportion, so that the scores are spread."""
    folder = tmp_path_factory.mktemp("mixed")
    shares = [(english, 12 - english) for english in range(13)]
    texts = {f"{a}-{b}": (ENGLISH * a)[: 60 * a] + (GERMAN * b)[: 60 * b] for a, b in shares}
    texts["short"] = ENGLISH
    rows = [{"id": name, "url": f"https://a.example/{name}", "text": text} for name, text in texts.items()]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "build.yaml").write_text(MIXED_CONFIG)
    run(folder, folder / "out")
    return folder / "out"


def dropped_by_language(out: Path) -> list[dict]:
    return [row for row in pq.read_table(out / "dropped").to_pylist() if row["stage"] == "language_id"]


def test_a_stricter_language_score_keeps_what_a_build_with_it_keeps(mixed, tmp_path):
    scores = pq.read_table(mixed / "steps/extract/documents")["language_score"].to_pylist()
    middle, highest = sorted(scores)[len(scores) // 2], max(scores)
    found = sweep(mixed, [f"{SCORE}=0.65,{middle!r},{highest!r}", "filter.gopher_quality.min_words=15,25"])
    documents = {tuple(setting.limits.values()): setting for setting in found.settings}
    assert len({setting.documents for setting in found.settings}) > 2
    for (score, words), setting in documents.items():
        assert (setting.unjudged, setting.documents) == (0, kept(mixed) + setting.gained - setting.lost)
        if score == middle:
            run(mixed.parent, tmp_path / f"{words}", f"{SCORE}={score}", f"filter.gopher_quality.min_words={words}")
            assert setting.documents == kept(tmp_path / f"{words}")
    own = documents[0.65, 25]
    assert (own.current, own.lost, own.gained) == (True, 0, 0)
    [lost, *_] = documents[middle, 25].flips
    assert (lost.change, lost.language) == ("lost", "en")
    assert 0.65 <= lost.values["language_id.language_score"] < middle


def test_documents_of_one_id_are_told_apart(tmp_path):
    rows = [{"id": f"{number % 3}", "url": f"https://a.example/{number}", "text": (ENGLISH * n)[: 60 * n] + GERMAN[:60]}
            for number, n in enumerate((1, 2, 3, 5, 8, 12))]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "build.yaml").write_text(MIXED_CONFIG)
    run(tmp_path, tmp_path / "out", f"{SCORE}=0", "filter.gopher_quality.min_words=1")
    documents = pq.read_table(tmp_path / "out" / "documents")
    score = sorted(documents["language_score"].to_pylist())[-2]
    own, strict = sweep(tmp_path / "out", [f"{SCORE}=0,{score!r}"]).settings
    assert (own.documents, own.tokens) == (len(documents), sum(documents["token_count"].to_pylist()))
    run(tmp_path, tmp_path / "strict", f"{SCORE}={score!r}", "filter.gopher_quality.min_words=1")
    assert strict.documents == kept(tmp_path / "strict") == 2


def test_a_score_that_another_stage_wrote_over_is_not_swept(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "a", "text": ENGLISH * 3}) + "\n")
    twice = MIXED_CONFIG.replace("extract:", "extract: [language_id: {keep: [en]}, language_id: {keep: [en]}]\nold:")
    (tmp_path / "build.yaml").write_text(re.sub(r"old:.*\n", "", twice))
    run(tmp_path, tmp_path / "out")
    with pytest.raises(ConfigError, match="has language_id twice, and the score of the last alone is stored"):
        sweep(tmp_path / "out", ["extract[1].min_score=0.5"])


def test_what_a_laxer_language_score_lets_go_on_is_counted_apart_as_nobody_has_judged_it(mixed, tmp_path):
    low = [row for row in dropped_by_language(mixed) if row["reason"] == "low_score"]
    assert low
    found = sweep(mixed, [f"{SCORE}=0,{max(row['value'] for row in low)!r}"], examples=99)
    none, some = found.settings
    run(mixed.parent, tmp_path / "lax", f"{SCORE}=0")
    assert none.unjudged == len(low) == len(dropped_by_language(mixed)) - len(dropped_by_language(tmp_path / "lax"))
    assert some.unjudged == 1
    assert none.documents == some.documents == kept(mixed)
    assert {flip.id for flip in none.flips} == {row["id"] for row in low}
    assert {flip.change for flip in none.flips} == {"unjudged"}
    (one,) = sweep(mixed, ["extract.language_id.min_scores.en=0"]).settings
    assert one.unjudged == none.unjudged


def test_other_languages_to_keep_are_swept_as_lists(mixed, tmp_path):
    english, both, any_, neither = sweep(mixed, ["extract[0].language_id.keep=[en],[en, de],null,[fr]"]).settings
    others = [row for row in dropped_by_language(mixed) if row["reason"] == "language_not_kept"]
    assert (english.current, english.unjudged) == (True, 0)
    assert both.limits == {"extract[0].language_id.keep": ["en", "de"]}
    assert both.unjudged == len([row for row in others if row["value"] >= 0.65]) > 0
    assert any_.unjudged == both.unjudged
    assert (neither.documents, neither.lost) == (0, kept(mixed))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("extract.language_id.max_chars=3", "'max_chars' of language_id cannot be swept"),
        ("extract.language_id.keep=en", "expected lists of languages"),
        ("extract.language_id.keep=[en],[", "not valid YAML"),
        ("extract.language_id.min_score=2", "must be between 0 and 1, got 2"),
        ("extract.language_id.min_scores.de=0.5", "'de' is not among the languages to keep"),
        ("extract.language_ix.min_score=2", "did you mean 'language_id'"),
    ],
)
def test_what_of_the_languages_cannot_be_swept_is_refused_by_name(mixed, grid, message):
    with pytest.raises(ConfigError) as caught:
        sweep(mixed, [grid])
    assert message in str(caught.value)


def test_the_command_says_what_is_not_judged(mixed):
    done = CliRunner().invoke(app, ["sweep", str(mixed), "--set", f"{SCORE}=0,0.65", "--examples", "1"])
    assert done.exit_code == 0, done.output
    assert "unjudged" in done.output
    assert "min_score=0: unjudged https://a.example/" in done.output
    assert "Unjudged: documents that language_id dropped and would let go on." in done.output
    lists = CliRunner().invoke(app, ["sweep", str(mixed), "--set", "extract.language_id.keep=[en],[en,de]"])
    assert "│ [en, de] " in lists.output
    as_json = CliRunner().invoke(app, ["sweep", str(mixed), "--set", f"{SCORE}=0", "--json"])
    assert json.loads(as_json.stdout)["settings"][0]["unjudged"] > 0


@pytest.mark.parametrize("key", ["filter[1].min_words", "filter.1.min_words", "filter[1].gopher_quality.min_words",
                                 'filter."gopher_quality".min_words'])  # fmt: skip
def test_a_stage_is_named_by_its_position_too(out, key):
    [by_name], [found] = (sweep(out, [f"{name}=100"]).settings for name in (WORDS, key))
    assert (found.documents, found.flips) == (by_name.documents, by_name.flips)
    assert found.limits == {key: 100}
    assert found.lost > 0


OWN_STAGE = """
import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from pipeline.document import Document, Drop
from pipeline.stages.support.limits import Languages, Rule, decide, first_broken


@dataclasses.dataclass(frozen=True, kw_only=True)
class Long:
    max_length: float | None = 400
    languages: Languages = dataclasses.field(default_factory=dict)
    RULES: ClassVar = (Rule("length", "at most", "max_length", "too_long"),)
    SIGNALS: ClassVar = ("length",)

    def measure(self, doc: Document) -> Document:
        return doc.with_signals("sweep_own.Long", {"length": float(len(doc.text))})

    def judge(self, values: Mapping[str, float], language: str = "") -> Drop | None:
        return first_broken(self, self.RULES, values, language)

    def __call__(self, doc: Document) -> Document | Drop:
        return decide(self, doc)
"""


def test_a_stage_of_the_users_own_is_swept_under_its_dotted_name(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/sweep_own.py").write_text(OWN_STAGE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    lines = [json.dumps({"id": f"{n}", "url": f"https://a.example/{n}", "text": "word " * n}) for n in (10, 50, 90)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    stages = f"filter: [c4: {{min_sentences: 0}}, sweep_own.Long]\nrun: {{stages_path: {tmp_path / 'own'}, "
    config = CONFIG.replace(
        "filter: [gopher_repetition, gopher_quality, c4: {min_sentences: 2}, text_repair, fineweb]\n", ""
    )
    (tmp_path / "build.yaml").write_text(config.replace("run: {", stages))
    run(tmp_path, tmp_path / "out")
    assert kept(tmp_path / "out") == 2
    for name in ("filter.sweep_own.Long", 'filter."sweep_own.Long"', "filter[1]", "filter[1].sweep_own.Long"):
        wider, german = sweep(tmp_path / "out", [f"{name}.max_length=500,100"]).settings
        assert (wider.documents, wider.gained, german.documents, german.lost) == (3, 1, 1, 1), name
    (own,) = sweep(tmp_path / "out", ["filter.sweep_own.Long.languages.de.max_length=1"]).settings
    assert own.documents == 2
    with pytest.raises(ConfigError, match="did you mean 'max_length'"):
        sweep(tmp_path / "out", ["filter.sweep_own.Long.max_lenght=500"])
    with pytest.raises(ConfigError, match=r"known: c4, sweep_own\.Long"):
        sweep(tmp_path / "out", ["filter.sweep_own.Lang.max_length=500"])


def test_a_run_without_its_steps_cannot_be_swept(out, tmp_path):
    run(out.parent, tmp_path / "lean", "run.keep_steps=false")
    with pytest.raises(InputError, match="is gone"):
        sweep(tmp_path / "lean", [f"{WORDS}=20"])


def test_a_copy_without_steps_says_where_to_sweep(out, tmp_path):
    publish(out, str(tmp_path / "copy"), RemoteSettings())
    with pytest.raises(InputError, match=r"without its intermediate documents(.|\n)*publish it with --steps"):
        sweep(tmp_path / "copy", [f"{WORDS}=30"])
