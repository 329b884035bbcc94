"""Which limits can be swept, and what is said of those that cannot."""

import re

import pytest
from run_records import run_record

from pipeline.contract.errors import ConfigError
from pipeline.tools.sweep_axes import LanguageAxis, Row, RuleAxis, parse_axis, stages_of

RECORD = run_record(config={
    "filter": [{"gopher_quality": {"min_words": 50, "languages": {"de": {"min_words": 20}}}}],
    "extract": [{"language_id": {"keep": ["en", "de"], "min_scores": {"de": 0.8}}}],
    "run": {}, "input": {},
})  # fmt: skip


def test_a_rule_is_named_by_stage_or_place_for_all_languages_or_for_one():
    for key in ("filter.gopher_quality.min_words", "filter[0].min_words"):
        axis = parse_axis(f"{key}=30, 80", RECORD)
        assert isinstance(axis, RuleAxis)
        assert (axis.values, axis.label) == (("30", "80"), "gopher_quality.words")
    german = parse_axis("filter.gopher_quality.languages.de.min_words=5", RECORD)
    stages = stages_of(RECORD, {}, "run.json", extract=False)
    assert (axis.value_in(stages), german.value_in(stages)) == (50, 20)
    row = Row("", "", "", "de", 0.0, {"gopher_quality": {"words": 33.0}}, True, 0.0)
    assert axis.value(row) == 33.0


def test_what_language_id_keeps_is_an_axis_of_lists():
    keep = parse_axis("extract.language_id.keep=[en],[en,de],null", RECORD)
    assert isinstance(keep, LanguageAxis) and keep.values == ('["en"]', '["en", "de"]', "null")
    score = parse_axis("extract.language_id.min_scores.de=0.5,0.9", RECORD)
    stages = stages_of(RECORD, {}, "run.json", extract=True)
    assert (keep.value_in(stages), score.value_in(stages)) == (["en", "de"], 0.8)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("filter.gopher_quality.min_words", "expected KEY=VALUE"),
        ("filter.gopher_quality.min_words= ", "expected KEY=VALUE"),
        ("dedup.minhash.bands=3", "only limits of the stages under `filter`"),
        ("filter.gopher_qualty.min_words=3", "did you mean 'gopher_quality'"),
        ("filter.gopher_quality.min_word=3", "did you mean 'min_words'"),
        ("extract.language_id.model=x", "'model' of language_id cannot be swept"),
        ("extract.language_id.keep=en", "expected lists of languages"),
        ("extract.main_text.engine=x", "has no stage 'main_text' in step 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_named(argument, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_axis(argument, RECORD)
