"""Compiled filters select exactly what lxml selects: the same elements, in the same order."""

import functools
import importlib.util
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from pipeline.stages.support import compiled_xpath
from pipeline.stages.support.compiled_xpath import UnsupportedPathError, compile_path

NAMESPACES = {"re": "http://exslt.org/regular-expressions"}
ONE_OF = ".//*[self::div or self::p or self::section]"

PATHS = [
    ".//header",
    "(.//article)[1]",
    ".//cite|.//header",
    f"{ONE_OF}[@class='a' or @id = 'b']",
    f"{ONE_OF}[@data-x or contains(@class, 'are')]",
    f"{ONE_OF}[re:test(@class, '^sh|(^|\\s)link(\\s|$)')]",
    f"{ONE_OF}[re:test(@class, 'SHARE', 'i')]",
    f"{ONE_OF}[re:test(@id|@class, 'share|link')]",
    f"{ONE_OF}[starts-with(@id|@class, 'sh') or @class='b']",
    f"{ONE_OF}[contains(translate(@class, 'SH', 'sh'), 'sh')]",
    f"{ONE_OF}[re:test(@class, 'share')][not(.//h1) or re:test(@id, 'a')]",
    f"{ONE_OF}[@class and (@id or not(self::div or self::p))]",
    f"{ONE_OF}[re:test(@class, 'a')][1]",
    f"({ONE_OF}[re:test(@class, 'a') or @id])[1]",
    f"({ONE_OF}[starts-with(@class, 'sh')])[1]|(.//article)[1]",
    ".//*[@class='b' or re:test(@id|@style, 'hidden') or contains(@style, 'display: none')]",
]

VALUES = st.sampled_from(["", "a", "b", "share", "Share", "a share", "link", "a link", "linked", "hidden", "x\ny", "ß"])
ATTRIBUTES = st.lists(st.tuples(st.sampled_from(["id", "class", "style", "data-x"]), VALUES), unique_by=lambda a: a[0])
TAGS = st.sampled_from(["div", "p", "section", "article", "header", "cite", "h1", "span", "item"])
TREES = st.recursive(
    st.tuples(TAGS, ATTRIBUTES, st.just([])),
    lambda children: st.tuples(TAGS, ATTRIBUTES, st.lists(children, max_size=4)),
    max_leaves=15,
)


def build(node: Any) -> Any:
    tag, attributes, children = node
    element = html.Element(tag)
    for name, value in attributes:
        element.set(name, value)
    element.extend([build(child) for child in children])
    return element


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=25, deadline=None)
@given(node=TREES)
def test_a_compiled_path_selects_what_lxml_selects(path: str, node: Any) -> None:
    root = build(node)
    expected = etree.XPath(path, namespaces=NAMESPACES)(root)
    assert compile_path(path)(root) == expected


@functools.cache
def untouched_paths_once() -> list[str]:
    """The text of trafilatura's filters, read from a second copy of its module: the first may be compiled already."""
    spec = importlib.util.find_spec("trafilatura.xpaths")
    assert spec is not None and spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    names = ["BODY_XPATH", "REMOVE_COMMENTS_AND_LISTS_XPATH", "REMOVE_COMMENTS_XPATH", "RAW_TREE_PRUNE_XPATH",
             "OVERALL_DISCARD_XPATH", "TEASER_DISCARD_XPATH", "PRECISION_DISCARD_XPATH", "DISCARD_IMAGE_ELEMENTS",
             "COMMENTS_XPATH", "COMMENTS_DISCARD_XPATH"]  # fmt: skip
    return [expression.path for name in names for expression in getattr(theirs, name)]


THEIR_VALUES = st.sampled_from(
    ["post", "content", "Main", "main-content", "article-body", "share", "social-nav", "cookie", "tags", "Comments",
     "comment-list", "commentary", "infinite-scroll", "mvp-post-add-box", "reply-1", "bottom", "a link", "teaser",
     "caption", "border:0", "display:none", "hidden", "x hidden", "elementor-widget", "nav", "true", "disqus_thread"]
)  # fmt: skip
THEIR_NAMES = st.sampled_from(["id", "class", "style", "role", "itemprop", "aria-hidden", "data-component"])
THEIR_ATTRIBUTES = st.lists(st.tuples(THEIR_NAMES, THEIR_VALUES), max_size=3, unique_by=lambda a: a[0])
THEIR_TAGS = st.sampled_from(["div", "p", "section", "article", "main", "aside", "header", "h1", "list", "ul", "item"])
THEIR_TREES = st.recursive(
    st.tuples(THEIR_TAGS, THEIR_ATTRIBUTES, st.just([])),
    lambda children: st.tuples(THEIR_TAGS, THEIR_ATTRIBUTES, st.lists(children, max_size=5)),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(node=THEIR_TREES)
def test_the_filters_of_trafilatura_compile_and_agree(node: Any) -> None:
    root = build(node)
    for path in untouched_paths_once():
        assert compile_path(path)(root) == etree.XPath(path, namespaces=NAMESPACES)(root), path


def test_all_their_filters_are_tested() -> None:
    assert len(untouched_paths_once()) == 22


@pytest.mark.parametrize(
    "path",
    [
        "//div",
        ".//div[2]",
        ".//*[@*]",
        ".//div[contains(., 'x')]",
        ".//div[count(p) > 1]",
        ".//div[re:test(@class, '')]",
        ".//div[starts-with(@class, 'a']",
        ".//div[translate(@class, 'ab', 'a') = 'x']",
        ".//div | p",
        "",
    ],
)
def test_a_path_outside_the_grammar_is_refused(path: str) -> None:
    with pytest.raises(UnsupportedPathError):
        compile_path(path)


def test_what_is_remembered_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_xpath, "REMEMBERED", 10)
    screen = compiled_xpath._Screen()
    screen.certain.append(lambda value: value.endswith("7"))
    assert [value for value in map(str, range(100)) if screen[value]] == [str(n) for n in range(7, 100, 10)]
    assert len(screen) <= 10
    screen.clear()
    assert screen["x" * 201] is False
    assert len(screen) == 0
