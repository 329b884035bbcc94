"""The fast text: which lines stay, and the sizes its trust rests on."""

import pytest

from pipeline.stages.support import fast_extraction

PROSE = "The mill at the river has ground the grain of three villages for two hundred years."
HEADING = "The old mill"


def page(*blocks: str) -> str:
    return f"<html><body><main>{''.join(blocks)}</main></body></html>"


def lines(*blocks: str) -> list[str]:
    return [line.text for line in fast_extraction.read(page(*blocks)).lines]


def test_text_goes_from_the_line_before_the_first_long_line_to_the_last_long_line() -> None:
    found = lines(
        "<p>By A. Writer</p>",
        f"<h1>{HEADING}</h1>",
        f"<p>{PROSE}</p>",
        "<p>Short.</p>",
        f"<p>{PROSE} Yes.</p>",
        "<p>Share</p>",
    )
    assert found == [HEADING, PROSE, "Short.", f"{PROSE} Yes."]


def test_a_line_of_sixty_characters_is_long_and_one_of_fifty_nine_is_not() -> None:
    assert lines(f"<p>{'a' * 60}</p>") == ["a" * 60]
    assert lines(f"<p>{'a' * 59}</p>") == []


@pytest.mark.parametrize(("linked", "kept"), [(30, True), (31, False)])
def test_a_line_may_be_a_third_links(linked: int, kept: bool) -> None:
    line = f"<p><a href='/x'>{'l' * linked}</a>{'t' * (90 - linked)}</p>"
    assert (len(lines(f"<p>{PROSE}</p>", line, f"<p>{PROSE}!</p>")) == 3) is kept


def test_a_link_around_several_paragraphs_counts_in_each_of_them() -> None:
    read = fast_extraction.read(page(f"<p>{PROSE}</p><a href='/x'><p>{PROSE}</p><p>{PROSE}</p></a><p>{PROSE}</p>"))
    assert [line.text for line in read.lines] == [PROSE, PROSE]
    assert read.main_size == 4 * len(PROSE)


def test_navigation_and_forms_are_no_text() -> None:
    found = lines(
        f"<nav><p>{PROSE}</p></nav>", f"<form><p>{PROSE}</p></form>", f"<aside>{PROSE}</aside>", f"<p>{PROSE}?</p>"
    )
    assert found == [f"{PROSE}?"]


def test_markup_characters_in_the_text_survive() -> None:
    assert lines(f"<p>if a &lt; b &amp;&amp; c &gt; d: &amp;lt; {PROSE}</p>") == [f"if a < b && c > d: &lt; {PROSE}"]


def test_preformatted_text_keeps_its_lines_and_indentation() -> None:
    code = "def mill(grain):\n    if grain:\n\n        return flour(grain, coarse=False, sieve=2)"
    assert lines(f"<p>{PROSE}</p><pre>\n{code}\n</pre><p>{PROSE}!</p>") == [PROSE, code, f"{PROSE}!"]


def test_items_of_a_list_begin_with_a_dash() -> None:
    assert lines(f"<p>{PROSE}</p><ol><li>{PROSE}</li></ol>") == [PROSE, f"- {PROSE}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("abc", 3), ("écoute", 6), ("日本語", 9), ("ภาษา", 12), ("한국어 말", 13), ("мельница", 8)],
)
def test_wide_scripts_count_three_for_a_sign(text: str, expected: int) -> None:
    assert fast_extraction.size(text) == expected


def test_sizes_of_a_page() -> None:
    read = fast_extraction.read(
        f"<html><body><div>Skip to content</div><main><p>{PROSE}</p><p>{PROSE}</p><p>Tags</p></main></body></html>"
    )
    assert read.kept_size == len("Skip to content") + 2 * len(PROSE)
    assert read.main_size == len("Skip to content") + 2 * len(PROSE) + len("Tags")
    assert read.crude_size() == len(f"Skip to content {PROSE} {PROSE} Tags")
    assert read.median_line == len(PROSE)
    assert read.repeated_lines == 1
    assert read.longest_short_run == 1


@pytest.mark.parametrize(
    "markup", ["", "   ", "<", "<html>", "<!-- -->", "<script>x</script>", "<a href='", "<p>\x00</p>"]
)
def test_a_page_without_text_has_no_lines(markup: str) -> None:
    read = fast_extraction.read(markup)
    assert (read.text, read.kept_size, read.median_line, read.repeated_lines) == ("", 0, 0.0, 0)
