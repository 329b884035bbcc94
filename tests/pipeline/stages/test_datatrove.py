"""datatrove's blocks run as stages, with their own verdicts and reasons."""

import sys
import types

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


def shout(data, rank=0, world_size=1, *, mark="!"):
    """A step as datatrove takes it: a generator over documents."""
    for doc in data:
        if doc.metadata["language"] != "fr":
            doc.text = doc.text.upper() + mark
            yield doc


class Twice:
    """A block that is no filter, drops without a word, and doubles what it likes."""

    def run(self, data, rank=0, world_size=1):
        for doc in data:
            if "dull" not in doc.text:
                yield doc
            if "good" in doc.text:
                yield doc


@pytest.fixture
def own_blocks(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_blocks", types.SimpleNamespace(shout=shout, Twice=Twice))


@pytest.mark.usefixtures("own_blocks")
def test_a_generator_function_is_a_block_too(make_doc):
    stage = Datatrove(class_="own_blocks.shout", args={"mark": "?"})
    assert stage(make_doc("what now")).text == "WHAT NOW?"
    assert stage(make_doc("quoi").replace(language="fr")) == Drop("dropped")
    with pytest.raises(ConfigError, match="unexpected keyword argument 'volume'"):
        build(Datatrove, {"class": "own_blocks.shout", "args": {"volume": 1}}, "c.yaml")


@pytest.mark.usefixtures("own_blocks")
def test_a_block_without_reasons_drops_and_one_that_makes_two_documents_fails(make_doc):
    stage = Datatrove(class_="own_blocks.Twice")
    assert stage(make_doc("fine")) == make_doc("fine")
    assert stage(make_doc("dull")) == Drop("dropped")
    with pytest.raises(TypeError, match="made 2 documents of one"):
        stage(make_doc("good"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"class": "datatrove.pipeline.filters.NoSuchFilter"}, "cannot be imported"),
        ({"class": "json.JSONDecoder"}, "is no datatrove block"),
        ({"class": "print"}, "must be a dotted path"),
        ({"class": QUALITY, "args": {"min_words": 1}}, "unexpected keyword argument 'min_words'"),
        ({"class": QUALITY, "args": {"exclusion_writer": 1}}, "cannot be set"),
        ({"class": "datatrove.pipeline.filters.RegexFilter", "args": {"regex_exp": "("}}, "unterminated subpattern"),
        ({}, "class: is required and not given"),
    ],
)
def test_mistakes_are_found_when_the_config_is_read(fields, problem):
    with pytest.raises(ConfigError, match=problem):
        build(Datatrove, fields, "c.yaml")
