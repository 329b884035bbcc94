"""Docstrings of every layout become paragraphs, lists and code."""

import pytest
from docstring_html import docstring_html


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("", ""),
        ("One line.", "<p>One line.</p>"),
        ("Wrapped over\ntwo lines.\n\nSecond.", "<p>Wrapped over two lines.</p>\n<p>Second.</p>"),
        ("Title\n=====\nText.", "<p>Title</p>\n<p>Text.</p>"),
        ("- one\n- two\n  goes on", "<ul><li>- one</li><li>- two goes on</li></ul>"),
        ("1. one\n2. two", "<ul><li>1. one</li><li>2. two</li></ul>"),
        (":param a: first\n:param b: second", "<ul><li>:param a: first</li><li>:param b: second</li></ul>"),
        (">>> 1 < 2\nTrue", "<pre>&gt;&gt;&gt; 1 &lt; 2\nTrue</pre>"),
        ("name      what it is\nother     another", "<pre>name      what it is\nother     another</pre>"),
        ("    x = 1\n    y = 2", "<pre>    x = 1\n    y = 2</pre>"),
        ("    A note that is indented but is plainly\n    a sentence to be read.",
         "<p>A note that is indented but is plainly a sentence to be read.</p>"),
        ("width (default 70)\n    how wide the lines may be\ntabs\n    what becomes of the tabs",
         "<ul><li>width (default 70): how wide the lines may be</li><li>tabs: what becomes of the tabs</li></ul>"),
        ("Options:\n  width\n    how wide the lines may be\n  tabs\n    what becomes of the tabs",
         "<p>Options:</p>\n<ul><li>width: how wide the lines may be</li><li>tabs: what becomes of the tabs</li></ul>"),
        ("<script>alert('&')</script>", "<p>&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;</p>"),
    ],
)  # fmt: skip
def test_layouts(docstring: str, expected: str) -> None:
    assert docstring_html(docstring) == expected


def test_a_signature_opens_the_first_paragraph() -> None:
    assert docstring_html("Say it.\n\nMore.", "f(<x>)") == "<p><code>f(&lt;x&gt;)</code>: Say it.</p>\n<p>More.</p>"
    assert docstring_html(">>> f()", "f()") == "<p><code>f()</code></p>\n<pre>&gt;&gt;&gt; f()</pre>"
