"""Texts side by side: what is marked, what is left out, and that no text takes long."""

from pipeline.dedup.diff import MAX_CHARACTERS, MAX_LINES, MAX_WORDS, DiffRow, diff


def test_words_that_differ_are_marked():
    found = diff("the mill grinds wheat", "the mill grinds rye today")
    assert found.rows == (
        DiffRow(
            "changed",
            (("the mill grinds", False), ("wheat", True)),
            (("the mill grinds", False), ("rye today", True)),
        ),
    )
    assert not found.cut


def test_equal_lines_are_left_out_but_one_on_each_side_of_a_difference():
    left = [f"line {number}" for number in range(9)]
    right = [*left[:4], "another", *left[5:]]
    kinds = [
        (row.kind, row.lines, row.left[0][0] if row.left else "")
        for row in diff("\n".join(left), "\n".join(right)).rows
    ]
    assert kinds == [
        ("skipped", 3, ""), ("same", 1, "line 3"), ("changed", 1, "line 4"), ("same", 1, "line 5"), ("skipped", 3, ""),
    ]  # fmt: skip


def test_one_equal_line_is_shown_rather_than_counted():
    assert [row.kind for row in diff("a\nb", "a\nc").rows] == ["same", "changed"]
    assert [row.kind for row in diff("a\na\nb", "a\na\nc").rows] == ["same", "same", "changed"]
    assert [row.kind for row in diff("a\na\na\nb", "a\na\na\nc").rows] == ["skipped", "same", "changed"]


def test_lines_of_one_side_alone():
    assert diff("a\nb", "a").rows[1] == DiffRow("removed", left=(("b", True),))
    assert diff("a", "a\nb").rows[1] == DiffRow("added", right=(("b", True),))
    assert diff("", "b").rows == (DiffRow("added", right=(("b", True),)),)
    assert diff("", "").rows == ()


def test_the_same_text_twice_is_one_row():
    assert diff("a\nb\nc", "a\nb\nc").rows == (DiffRow("skipped", lines=3),)


def test_what_is_too_much_is_cut_and_said():
    lines = [f"line {number}" for number in range(MAX_LINES + 1)]
    assert diff("\n".join(lines), "\n".join(lines)).cut
    assert not diff("\n".join(lines[1:]), "\n".join(lines[1:])).cut
    assert diff("a" * (MAX_CHARACTERS + 1), "b").cut
    assert not diff("a" * MAX_CHARACTERS, "b").cut
    assert len(diff("\n".join("abc"), "\n".join("xyz"), most_rows=2).rows) == 2


def test_lines_of_very_many_words_are_marked_whole():
    many = " ".join(["a"] * (MAX_WORDS + 1))
    assert diff(many, "a b").rows == (DiffRow("changed", ((many, True),), (("a b", True),)),)
    few = " ".join(["a"] * MAX_WORDS)
    assert diff(few, "a b").rows[0].right == (("a", False), ("b", True))
