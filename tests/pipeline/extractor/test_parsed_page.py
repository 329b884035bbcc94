"""Pages as elements and blocks: what begins a block, what is no text, hostile markup."""

import random

import numpy as np
import pytest

from pipeline.extractor import layout, loops_parse, vocabulary
from pipeline.extractor.parsed_page import parse


def blocks(page: str) -> list[str]:
    parsed = parse(page.encode())
    return [parsed.text_of(number) for number in range(len(parsed.blocks))]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("one <b>and</b> <a href=x>two</a>.", ["one and two."]),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>d", ["a", "b", "c", "d"]),
        ("<dl><dt>a<dd>b<dt>c</dl>", ["a", "b", "c"]),
        ("<table><tr><td>1<td>2<tr><th>3</table>4", ["1", "2", "3", "4"]),
        ("a<br>b", ["a\nb"]),
        ("a<br> <br>b", ["a", "b"]),
        ("<pre>x = 1\n  y\n</pre>z", ["x = 1\n  y", "z"]),
        ("<pre><code><div>a</div><div>b</div></code></pre>", ["a\nb"]),
        ("a\n\t  b&nbsp;c d", ["a b c d"]),
        ("<script>no</script>a<style>p {}</style>b<!-- no <p> -->c", ["a bc"]),
        ("<svg><text>no</text></svg><template>no</template>yes", ["yes"]),
        ("<title>no</title><noscript>yes</noscript>", ["yes"]),
        ("<textarea>no</textarea><select><option>no</select>yes", ["yes"]),
        ("3 < 4 <> 5 </ 6", ["3 < 4 <> 5 </ 6"]),
        ("<p title='a > b'>c", ["c"]),
        ('<p title="never closed>a<p>b', ["a", "b"]),
        ("<!-- never closed <p>a", ["a"]),
        ("<script>never closed <p>a", ["never closed", "a"]),
        ("</p></div></table>a", ["a"]),
        ("<div><span>a</div>b</span>c", ["a", "bc"]),
        ("<a>x<a>y", ["xy"]),
        ("", []),
        ("<p> <p>", []),
    ],
)
def test_blocks(page: str, expected: list[str]) -> None:
    assert blocks(page) == expected


def row(page: str, number: int = 0) -> "np.ndarray":
    return parse(page.encode()).blocks[number]


def test_what_is_counted() -> None:
    counted = row("<p>The <a href=/x>old mill</a>, built in 1799. It <b>works</b>!<br>Yes: ok")
    assert counted[layout.BL_WORDS] == 10
    assert counted[layout.BL_LINK_WORDS] == 2
    assert counted[layout.BL_LINKS] == 1
    assert counted[layout.BL_COMMAS] == 1
    assert counted[layout.BL_STOPS] == 2
    assert counted[layout.BL_DIGITS] == 4
    assert counted[layout.BL_BREAKS] == 1
    assert counted[layout.BL_MARKS] == 1
    assert counted[layout.BL_LAST] == 0
    assert row("<p>The end.")[layout.BL_LAST] == 1
    assert row("<p>\u201cThe end.\u201d")[layout.BL_LAST] == 1


def test_two_han_characters_count_as_a_word() -> None:
    counted = row("<p>\u4eca\u65e5\u306f\u3001\u4e16\u754c\u3002")
    assert counted[layout.BL_WIDE] == 5
    assert counted[layout.BL_WORDS] == 3
    assert (counted[layout.BL_COMMAS], counted[layout.BL_STOPS], counted[layout.BL_LAST]) == (1, 1, 1)


def flags_of(page: str) -> int:
    parsed = parse(page.encode())
    return int(parsed.elements[parsed.blocks[0][layout.BL_ELEMENT]][layout.EL_FLAGS])


@pytest.mark.parametrize(
    ("page", "flag"),
    [
        ("<nav><div>a", vocabulary.IN_NAV),
        ("<div style='display: none'><p>a", vocabulary.IN_HIDDEN),
        ("<div hidden><p>a", vocabulary.IN_HIDDEN),
        ("<div aria-hidden=true>a", vocabulary.IN_HIDDEN),
        ("<h2><span>a", vocabulary.IN_HEADING),
        ("<blockquote>a", vocabulary.IN_QUOTE),
    ],
)
def test_what_a_block_stands_in(page: str, flag: int) -> None:
    assert flags_of(page) & flag
    assert not flags_of(page.replace("nav", "p").replace("hidden", "title").replace("none", "block")
                        .replace("h2", "p").replace("blockquote", "p")) & flag  # fmt: skip


def test_words_of_attributes_are_divided_at_capitals_and_signs() -> None:
    apart, together = parse(b"<div class='post-body x'>a"), parse(b"<div class='postBody'>a")
    named = {vocabulary.name_hash(word) for word in ("post", "body")}
    for page in (apart, together):
        assert {(name ^ (name >> 16)) & 0xFFFF for name in named} <= set(page.tokens.tolist())


class Checked(list[int]):
    """A list that refuses an index below 0, which Python would count from its end."""

    def __getitem__(self, at: int) -> int:  # type: ignore[override]
        assert 0 <= at < len(self), at
        return super().__getitem__(at)

    def __setitem__(self, at: int, value: int) -> None:  # type: ignore[override]
        assert 0 <= at < len(self), at
        super().__setitem__(at, int(value))


PIECES = (
    "<p>", "</p>", "<div class='a-b'>", "</div>", "<ul>", "<li>", "</ul>", "<table>", "<tr>", "<td>", "</table>",
    "<a href=x>", "</a>", "<pre>", "</pre>", "<br>", "<script>", "</script>", "<!--", "-->", "<b", ">", "'", '"',
    "=", "&nbsp;", "&amp;", "&", "<", "</", "text ", "\u00e9\u4e16\u3002", " ", "\n", "<h1 id=x>", "</h1>",
    "<dl><dt>", "<dd>", "<noscript>", "\u2019",
)  # fmt: skip


def test_no_loop_reaches_out_of_its_arrays() -> None:
    """The loops as plain Python, over lists that refuse what is out of bounds; and the compiled ones agree."""
    chance = random.Random(7)
    for _ in range(120):
        page = "".join(chance.choice(PIECES) for _ in range(chance.randrange(60))).encode()
        page = page[: chance.randrange(len(page) + 1)].decode("utf-8", "ignore").encode()
        tags = page.count(b"<") + 2
        text, elements = Checked([0] * (len(page) + 1)), Checked([0] * (tags * layout.EL_COLUMNS))
        rows, tokens = Checked([0] * ((tags + 1) * layout.BL_COLUMNS)), Checked([0] * (len(page) // 2 + 2))
        state = Checked([0] * layout.STATE_SIZE)
        count = loops_parse.parse(
            Checked(page), len(page), Checked(vocabulary.tables().tolist()), text, elements, tags, rows, tags, tokens,
            len(tokens), state,
        )  # fmt: skip
        compiled = parse(page)
        assert count == len(compiled.blocks), page
        assert list(rows)[: count * layout.BL_COLUMNS] == compiled.blocks.reshape(-1).tolist(), page
        used = len(compiled.elements) * layout.EL_COLUMNS
        assert list(elements)[:used] == compiled.elements.reshape(-1).tolist(), page


def test_elements_too_deep_or_too_many_keep_their_text() -> None:
    deep = parse(b"<div>" * 5000 + b"deep" + b"</div>" * 5000 + b"<p>after")
    assert [deep.text_of(number) for number in range(len(deep.blocks))] == ["deep", "after"]
    assert deep.elements[:, layout.EL_DEPTH].max() <= layout.MAX_DEPTH + 1
    many = parse(b"<p>a" * (layout.MAX_BLOCKS + 10))
    assert len(many.blocks) == layout.MAX_BLOCKS
    assert many.text.tobytes()[: int(many.state[layout.ST_TEXT])].count(b"a") == layout.MAX_BLOCKS + 10


def steps(page: bytes) -> int:
    """How often a page's bytes are looked at."""

    class Counting(Checked):
        looks = 0

        def __getitem__(self, at: int) -> int:  # type: ignore[override]
            Counting.looks += 1
            return super().__getitem__(at)

    tags = page.count(b"<") + 2
    arrays = [Checked([0] * size) for size in (len(page) + 1, tags * layout.EL_COLUMNS, (tags + 1) * layout.BL_COLUMNS)]
    loops_parse.parse(
        Counting(page), len(page), Checked(vocabulary.tables().tolist()), arrays[0], arrays[1], tags, arrays[2], tags,
        Checked([0] * (len(page) // 2 + 2)), len(page) // 2 + 2, Checked([0] * layout.STATE_SIZE),
    )  # fmt: skip
    return Counting.looks


@pytest.mark.parametrize(
    "piece",
    [b"<!-- ", b"<script>", b"<textarea>a", b"<p title='", b'<p title="', b"<a ", b"<div><span>", b"</div>", b"<td>",
     b"&nbsp", b"<li>", b"<", b"<b<", b"<style></styl", b"<!", b"</script", b"<?"],
)  # fmt: skip
def test_the_work_grows_with_the_bytes_alone(piece: bytes) -> None:
    few, many = steps(piece * 50), steps(piece * 200)
    assert many <= 4.6 * few, f"{few} looks at {len(piece) * 50} bytes, {many} at four times as many"
