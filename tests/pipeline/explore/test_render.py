"""Pages as bytes: nothing of a stranger's text is markup, and what could do more than be seen is an escape."""

import re

import jinja2
import pytest

from pipeline.explore.detail import RowDetail
from pipeline.explore.render import render, render_error


def error_page(problem, known=(), run="OUT"):
    return render_error(404, problem, tuple(known), run=run).decode()


def dropped_page(text="", **values):
    """The page of a document that the filter dropped."""
    row = {"id": "x", "url": "https://a.example/", "step": "filter", "stage": "c4", "reason": "bad", "value": None,
           "limit": None, "detail": None, **values}  # fmt: skip
    detail = RowDetail(table="dropped", part="filter-00000", row=0, values=row, facts=(), text=text, more=0,
                       text_from="stored", signals=(), pii=(), tokens=None, rerun=None, can_rerun=False)  # fmt: skip
    return render("document.html.j2", {"detail": detail, "most": 100, "stays": None}, run="OUT", here="").decode()


def test_an_error_says_its_phrase_its_problem_and_what_is_known():
    page = error_page("there is no part", ["00000", "00001"])
    assert "<h1>404 Not Found</h1><p>there is no part</p>" in page
    assert "<code>00000</code>" in page and "<code>00001</code>" in page
    assert "Known here" not in error_page("there is no part")


def test_no_more_than_200_known_values_are_shown():
    page = error_page("x", [f"value-{n}-" for n in range(201)])
    assert "value-199-" in page and "value-200-" not in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\"'&", "&#34;&#39;&amp;"),
        ("a\u202eb", r"a\u202eb"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb", r"a\nb"),
        ("\ud800", r"\ud800"),
        ("caf\u00e9 \u65e5\u672c", "caf\u00e9 \u65e5\u672c"),
    ],
)
def test_text_of_strangers_is_escaped(text, shown):
    assert f"<p>{shown}</p>" in error_page(text)
    assert f"<nav><b>{shown}</b>" in error_page("x", run=text)


def test_a_text_keeps_its_lines_and_tabs_and_nothing_else():
    page = dropped_page("one\r\ntwo\t<b>\u202e\rthree")
    assert '<pre class="text">one\ntwo\t&lt;b&gt;\\u202e\\rthree</pre>' in page


@pytest.mark.parametrize(
    ("value", "limit", "beyond"),
    [(60.0, 80.0, "25.0% beyond it"), (0.3, 0.2, "50.0% beyond it"), (3.0, 0.0, "3 beyond it"), (-3.0, -2.0, "50.0%")],
)
def test_how_far_a_value_lies_beyond_its_limit(value, limit, beyond):
    assert beyond in dropped_page(value=value, limit=limit)


def test_a_drop_without_a_limit_lies_beyond_none():
    assert not re.search("beyond it|limit", dropped_page(value=3.0).partition("<h2>")[0].partition("<h1")[2])


def test_a_value_that_a_template_needs_and_does_not_get_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render("error.html.j2", {}, run="OUT", here="")
