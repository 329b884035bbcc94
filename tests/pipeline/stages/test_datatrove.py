"""datatrove's blocks run as stages, with their own verdicts and reasons."""

import pytest

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError
from pipeline.document import Drop
from pipeline.stages.datatrove import Datatrove

QUALITY = "datatrove.pipeline.filters.GopherQualityFilter"


def test_a_filter_drops_for_its_own_reason(make_doc):
    assert Datatrove(class_=QUALITY)(make_doc("too short")) == Drop("gopher_short_doc")


def test_a_filter_keeps_a_document_as_it_is(make_doc):
    doc = make_doc("The cat and the dog went to the house that they have. " * 10)
    assert Datatrove(class_=QUALITY)(doc) == doc


def test_arguments_reach_the_block(make_doc):
    stage = Datatrove(class_=QUALITY, args={"min_doc_words": 2, "min_stop_words": None, "max_avg_word_length": None})
    assert stage(make_doc("hello hello world")) == make_doc("hello hello world")


def test_a_formatter_changes_the_text(make_doc):
    stage = Datatrove(class_="datatrove.pipeline.formatters.PIIFormatter")
    changed = stage(make_doc("write to someone@site.org now"))
    assert changed.text == "write to email@example.com now"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"class": "datatrove.pipeline.filters.NoSuchFilter"}, "cannot be imported"),
        ({"class": "json.JSONDecoder"}, "is no datatrove block"),
        ({"class": "print"}, "must be a dotted path"),
        ({"class": QUALITY, "args": {"min_words": 1}}, "unexpected keyword argument 'min_words'"),
        ({"class": QUALITY, "args": {"exclusion_writer": 1}}, "cannot be set"),
        ({}, "class: is required and not given"),
    ],
)
def test_mistakes_are_found_when_the_config_is_read(fields, problem):
    with pytest.raises(ConfigError, match=problem):
        build(Datatrove, fields, "c.yaml")
