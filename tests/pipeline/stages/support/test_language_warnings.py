"""A build says before it begins that rules are made for other languages than the ones it keeps."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.stages.support.language_warnings import language_warnings

CONFIGS = Path(__file__).resolve().parents[4] / "configs/pipeline"
GERMAN = ("extract.language_id.keep=[de]", "extract.language_prefilter.keep=[de]")
MULTILINGUAL = "configs/pipeline/fineweb2-multilingual.yaml"


def warnings(*overrides: str, name: str = "fineweb-en.yaml") -> list[str]:
    config = load_config(CONFIGS / name, overrides=overrides)
    return language_warnings(config.extract, config.filter)


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_the_shipped_configs_give_no_warning(name):
    assert warnings(name=name) == []


def test_each_rule_made_for_another_language_is_one_line_that_says_what_to_do():
    found = warnings(*GERMAN)
    assert [line.split(": ")[0] for line in found] == [
        "filter.gopher_repetition", "filter.gopher_quality", "filter.c4", "filter.fineweb",
    ]  # fmt: skip
    assert all(" en" in line and " de" in line and MULTILINGUAL in line for line in found)
    assert "stop_words" in found[1]
    assert "`languages`" in found[1]
    assert "`stop_words_by_language`" in found[1]
    assert "stop_words" not in found[3]


def test_limits_of_its_own_silence_the_warning():
    own = [f"filter.{name}.languages.de={{{limit}: 0.3}}" for name, limit in
           (("gopher_repetition", "max_top_2_gram"), ("fineweb", "max_short_lines"))]  # fmt: skip
    own += ["filter.c4=null"]
    quality = "filter.gopher_quality.languages.de={max_mean_word_length: 14}"
    [line] = warnings(*GERMAN, *own, quality)
    assert "gopher_quality: stop_words is " in line  # English ones still
    assert warnings(*GERMAN, *own, quality, "filter.gopher_quality.stop_words_by_language.de=[der, die, und]") == []
    assert warnings(*GERMAN, *own, quality, "filter.gopher_quality.stop_words=[der, die, und]") == []
    off = "filter.gopher_quality.languages.de={max_mean_word_length: 14, min_stop_words: null}"
    assert warnings(*GERMAN, *own, off) == []


def test_limits_that_are_off_or_were_changed_for_the_whole_run_give_no_warning():
    found = warnings(
        *GERMAN, "filter.gopher_repetition=null", "filter.gopher_quality=null", "filter.c4=null",
        "filter.fineweb.min_punctuated_lines=0.143", "filter.fineweb.max_short_lines=null",
    )  # fmt: skip
    assert len(found) == 1
    assert found[0].startswith("filter.fineweb: max_newlines_per_word is ")


def test_a_language_added_to_the_multilingual_config_is_named_in_every_list_it_lacks():
    both = [f"extract.{stage}.keep=[en, de, sv]" for stage in ("language_id", "language_prefilter")]
    found = warnings(*both, "extract.language_id.min_scores={}", name="fineweb2-multilingual.yaml")
    assert [line.split(": ")[0] for line in found] == [
        "filter.gopher_repetition", "filter.gopher_quality", "filter.fineweb",
    ]  # fmt: skip
    assert all(" sv" in line and " de" not in line for line in found)


def test_any_language_means_others_too():
    assert "keeps any language" in warnings("extract.language_id.keep=null", "extract.language_prefilter.keep=null")[0]


def test_pages_that_the_prefilter_drops_before_the_language_is_identified_are_a_matter_of_their_own():
    prefilter, *_ = warnings("extract.language_id.keep=[de, fr]", "extract.language_prefilter.keep=[en, fr]")
    assert prefilter.startswith("extract.language_prefilter.keep: ")
    assert "pages in de, which" in prefilter
    assert not any("prefilter" in line for line in warnings("extract.language_prefilter=null", GERMAN[0]))


def test_a_build_says_it_on_stderr_once_and_keeps_it_in_log_record_and_report(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Das ist ein kurzer Text und er bleibt nicht."}) + "\n")
    (tmp_path / "c.yaml").write_text(
        "extract: [language_id: {keep: [de]}]\nfilter: [gopher_quality: {min_words: 3, min_stop_words: null}]\n"
        "tokenize: {train_tokenizer: {vocabulary_size: 300}}\n"
    )
    done = CliRunner().invoke(app, [
        "build", str(tmp_path / "c.yaml"), "--input", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "out"),
        "--local", "--quiet", "--json",
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    [line] = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert "filter.gopher_quality: min_mean_word_length, " in line
    assert json.loads(done.stdout)["kept"] == 1
    record = RunRecord.read(tmp_path / "out")
    assert record.warnings == (line.removeprefix("warning: "),)
    assert line in (tmp_path / "out/logs/build.log").read_text()
    assert "filter.gopher_quality: min_mean_word_length, " in (tmp_path / "out/report.html").read_text()
