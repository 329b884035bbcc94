"""Laws of every stage, written once: they hold for each file in the folder, today's and tomorrow's."""

import contextlib
import dataclasses
import json
import math
import pickle
import random
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pipeline import stages
from pipeline.contract.config import build, field_docs, resolved
from pipeline.contract.errors import MissingAssetError
from pipeline.contract.schema import json_schema
from pipeline.document import Document, Drop, QualityStage, Stage
from pipeline.stages.gopher_quality import GopherQuality
from pipeline.stages.language_id import LanguageId
from pipeline.stages.main_text import MainText

REQUIRED: dict[str, dict[str, Any]] = {
    "datatrove": {"class_": "datatrove.pipeline.filters.RegexFilter", "args": {"regex_exp": "lorem ipsum"}},
    "quality_classifier": {"model": "lid.176.ftz", "label": "en"},
}
"""Arguments of the stages that cannot do without."""

PROSE = (
    "The river rose in the night, and by morning the lower meadows were under water.\n"
    "Nobody in the village had seen it come so fast; the old people said that it had been worse in their youth.\n"
    "[1] Write to the keeper at keeper@village.example or call the mill, if you have to cross before the weekend.\n"
)
TEXTS = {
    "empty": "",
    "blank": " \n\t\n",
    "one": "a",
    "prose": PROSE + "It did not rain again. Was that all? It was. They went home with the carts.",
    "repeated": PROSE * 6,
    "list": "\n".join(f"- item {n}" for n in range(40)),
    "code": "function main() {\n  return lorem ipsum dolor sit;\n}\n" * 4,
    "german": "Der Fluss stieg in der Nacht, und am Morgen standen die Wiesen unter Wasser. " * 8,
    "chinese": "夜里河水上涨，到了早晨，低处的草地都淹没了。村里没有人见过它来得这么快。" * 6,
    "symbols": "!!! ### ... \u2026 $$$ " * 20,
    "hostile": "a\0b \ud800 \u202e\ufeff <b>&amp;</b> " + "x" * 3000 + " 192.0.2.1 4111 1111 1111 1111",
}


def page(number: int, text: str) -> Document:
    """A page that has this text and, around it, the HTML it came from."""
    paragraphs = "".join(f"<p>{line}</p>" for line in text.split("\n"))
    html = f"<html><head><title>Page {number}</title></head><body><article>{paragraphs}</article></body></html>"
    url = f"https://site{number}.example/page"
    return Document(id=f"doc-{number}", url=url, html=html, text=text, language="en", language_score=0.9)


def pages() -> list[Document]:
    """One page for each text, without features of an earlier call."""
    return [page(number, text) for number, text in enumerate(TEXTS.values())]


def make(name: str) -> Any:
    """The stage with its default arguments."""
    return stages.load(name)(**REQUIRED.get(name, {}))


@contextlib.contextmanager
def assets() -> Iterator[None]:
    """Skips a stage that needs an asset that is not on this machine."""
    try:
        yield
    except MissingAssetError as error:
        pytest.skip(str(error))


def answers(stage: Any, docs: list[Document]) -> dict[str, Document | Drop]:
    """What the stage says of each page, by id."""
    with assets():
        return {doc.id: stage(doc) for doc in docs}


ALL = stages.names()
QUALITY = [name for name in ALL if hasattr(stages.load(name), "SIGNALS")]


@pytest.mark.parametrize("name", ALL)
def test_a_stage_is_a_frozen_dataclass_with_documented_fields(name: str) -> None:
    cls = stages.load(name)
    assert stages.name_of(cls) == name
    assert isinstance(make(name), Stage)
    assert cls.__doc__
    assert {field.name for field in dataclasses.fields(cls)} == set(field_docs(cls))
    if dataclasses.fields(cls):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(make(name), dataclasses.fields(cls)[0].name, None)


@pytest.mark.parametrize("name", ALL)
def test_a_stage_survives_its_config_and_its_schema(name: str) -> None:
    stage = make(name)
    schema = json_schema(type(stage))
    assert json.loads(json.dumps(schema)) == schema
    tree = json.loads(json.dumps(resolved(stage)))
    assert set(tree) == set(schema["properties"])
    assert build(type(stage), tree, name) == stage


def wrong_values(hint: Any) -> list[tuple[Any, str]]:
    """Values that do not fit a type, each with where in the value the fault lies."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return []
    if origin is types.UnionType or origin is typing.Union:
        [kind, *others] = [arg for arg in args if arg is not type(None)]
        faults = [(object(), "")] if others else wrong_values(kind)
        return [(value, place) for value, place in faults if value is not None]
    if origin is tuple:
        inner = [((value,), f"[0]{place}") for value, place in wrong_values(args[0])]
        return [(None, ""), ("en", ""), (["en"], ""), *inner]
    if origin is Mapping:
        inner = [({"a": value}, f".a{place}") for value, place in wrong_values(args[1])]
        return [(None, ""), ("en", ""), ([("en", 1)], ""), ({3: 1}, " key"), *inner]
    if origin is typing.Literal:
        return [(value, "") for value in (None, "no-such-value", 7, [args[0]])]
    wrong: dict[Any, tuple[Any, ...]] = {
        bool: (None, 1, 0.0, "yes"),
        int: (None, True, "3", 2.5, math.nan),
        float: (None, True, "0.5", math.nan, math.inf, 10**400),
        str: (None, True, 3, 0.5, b"text"),
    }
    return [(value, "") for value in wrong.get(hint, (None, {}, "default"))]


def config_classes(cls: type) -> Iterator[type]:
    """A stage's class and those of its sections."""
    yield cls
    for hint in typing.get_type_hints(cls).values():
        if dataclasses.is_dataclass(hint):
            yield from config_classes(typing.cast(type, hint))


@pytest.mark.parametrize("name", ALL)
def test_values_are_checked_from_python_as_they_are_in_a_file(name: str) -> None:
    for cls in config_classes(stages.load(name)):
        required = REQUIRED.get(name, {}) if cls is stages.load(name) else {}
        annotations = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            for value, place in wrong_values(annotations[field.name]):
                with pytest.raises(ValueError, match=rf"^{re.escape(field.name.removesuffix('_') + place)}: must be "):
                    cls(**{**required, field.name: value})


def test_a_wrong_value_is_named_with_what_is_meant() -> None:
    with pytest.raises(ValueError) as caught:
        MainText(engine="trafilatur")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "engine: must be one of trafilatura, resiliparse, adaptive, blocks, got 'trafilatur' (str);"
        " did you mean 'trafilatura'?"
    )
    with pytest.raises(ValueError, match=r"^min_words: must be a whole number or None, got '50' \(str\)$"):
        GopherQuality(min_words="50")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^languages\.de\.min_words: must be a finite number or None, got True"):
        GopherQuality(languages={"de": {"min_words": True}})
    with pytest.raises(ValueError, match=r"^keep: must be a tuple, each item a str or None, got 'en' \(str\)$"):
        LanguageId(keep="en")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ALL)
def test_a_stage_answers_with_a_document_or_a_named_drop(name: str) -> None:
    for answer in answers(make(name), pages()).values():
        assert isinstance(answer, Document | Drop)
        if isinstance(answer, Drop):
            assert answer.reason.isidentifier()
            assert answer.reason == answer.reason.lower()


@pytest.mark.parametrize("name", ALL)
def test_a_stage_forgets_the_documents_before(name: str) -> None:
    forward = answers(make(name), pages())
    shuffled = pages()
    random.Random(17).shuffle(shuffled)
    assert answers(make(name), pages()[::-1]) == forward
    assert answers(make(name), shuffled) == forward
    assert {doc.id: make(name)(doc) for doc in pages()} == forward


@pytest.mark.parametrize("name", ALL)
def test_a_stage_answers_the_same_after_a_journey_to_another_process(name: str) -> None:
    stage = make(name)
    before = answers(stage, pages())
    packed = pickle.dumps(stage)
    assert len(packed) < 20_000
    copy = pickle.loads(packed)
    assert copy == stage
    assert answers(copy, pages()) == before


@pytest.mark.parametrize("name", ALL)
def test_a_stage_leaves_its_document_as_it_was(name: str) -> None:
    docs = pages()
    answers(make(name), docs)
    assert docs == pages()


@pytest.mark.parametrize("name", QUALITY)
def test_a_verdict_follows_from_the_signals_alone(name: str) -> None:
    stage = make(name)
    assert isinstance(stage, QualityStage)
    for doc in pages():
        with assets():
            measured = stage.measure(doc)
        values = measured.signals[name]
        assert tuple(values) == stage.SIGNALS
        assert all(type(value) is float for value in values.values())
        stored = json.loads(json.dumps(dict(values)))
        assert stage(doc) == (stage.judge(stored) or measured)


@pytest.mark.parametrize("name", QUALITY)
def test_signals_do_not_depend_on_the_limits(name: str) -> None:
    stage = make(name)
    rules = getattr(stage, "RULES", ())
    assert {rule.signal for rule in rules} <= set(stage.SIGNALS)
    off = dataclasses.replace(stage, **{rule.limit: None for rule in rules})
    for doc in pages():
        with assets():
            values = off.measure(doc).signals[name]
        assert values == stage.measure(doc).signals[name]
        drop = off.judge(values)
        assert drop is None or drop.reason == "empty"


@pytest.mark.parametrize("name", QUALITY)
def test_each_limit_can_be_turned_off(name: str) -> None:
    cls = stages.load(name)
    hints = typing.get_type_hints(cls)
    for rule in cls.RULES:
        assert type(None) in typing.get_args(hints[rule.limit])


@pytest.mark.parametrize("name", QUALITY)
def test_a_language_can_have_limits_of_its_own(name: str) -> None:
    """With every rule off for German and as it is for all others, the same values are kept in German alone."""
    stage = make(name)
    off = {rule.limit: None for rule in stage.RULES}
    german = dataclasses.replace(stage, languages={"de": off})
    for doc in pages():
        with assets():
            values = stage.measure(doc).signals[name]
        drop = german.judge(values, "de")
        assert drop is None or drop.reason == "empty"
        assert german.judge(values, "fr") == german.judge(values) == stage.judge(values)


@pytest.mark.parametrize("name", QUALITY)
def test_limits_of_a_language_are_checked_like_the_others(name: str) -> None:
    cls, limit = stages.load(name), stages.load(name).RULES[0].limit
    fields = REQUIRED.get(name, {})
    with pytest.raises(ValueError, match=f"languages.de: unknown limit '{limit}s'; did you mean '{limit}'?"):
        cls(**fields, languages={"de": {f"{limit}s": 1.0}})
    with pytest.raises(ValueError, match=f"languages.de.{limit}: must be"):
        cls(**fields, languages={"de": {limit: -1.0}})
