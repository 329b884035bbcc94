"""Benchmark questions on pages: what counts as an overlap, on each side of each limit."""

import json
import os

import pytest

from pipeline.document import Drop
from pipeline.stages.decontaminate import Decontaminate, Overlap

LONG = "a miller grinds seven sacks of wheat before noon and twelve more after it how many sacks"  # 17 words


SHORT = "which grain did the old mill grind first"  # 8 words


def write(path, *items):
    path.write_text("\n".join(json.dumps(item) for item in items), encoding="utf-8")
    return str(path)


@pytest.fixture
def benchmark(tmp_path):
    return write(
        tmp_path / "mill.jsonl",
        {"id": "long", "query": LONG, "choices": ["nineteen sacks of flour", "twenty"]},
        {"id": "short", "query": SHORT},
        {"id": "tiny", "query": "what is a mill"},
    )


def words(text, start, stop):
    return " ".join(text.split()[start:stop])


def test_thirteen_words_in_a_row_drop_a_page_and_twelve_do_not(make_doc, benchmark):
    stage = Decontaminate(benchmarks=(benchmark,))
    thirteen, twelve = make_doc(f"He said: {words(LONG, 2, 15)}. Well."), make_doc(f"He {words(LONG, 2, 14)} well.")
    expected = f"mill.jsonl long: {words(LONG, 2, 15)}."
    assert stage(thirteen) == Drop("benchmark_overlap", value=1, limit=0, detail=expected)
    assert stage(twelve) is twelve


def test_the_value_counts_different_ngrams(make_doc, benchmark):
    stage = Decontaminate(benchmarks=(benchmark,))
    assert stage(make_doc(LONG)).value == 5  # 17 words
    assert stage(make_doc(f"{LONG}\n\n{LONG}")).value == 5
    assert stage(make_doc(f"{LONG} x {SHORT}")).value == 6


def test_a_short_item_counts_only_when_it_occurs_whole(make_doc, benchmark):
    stage = Decontaminate(benchmarks=(benchmark,))
    whole, part = make_doc(f"Tell me: {SHORT}?"), make_doc(f"Tell me: {words(SHORT, 0, 7)}?")
    assert stage(whole).detail == f"mill.jsonl short: {SHORT}?"
    assert stage(part) is part


def test_items_shorter_than_the_shortest_are_never_looked_for_and_listed(make_doc, benchmark):
    stage = Decontaminate(benchmarks=(benchmark,))
    doc = make_doc("what is a mill " * 9)
    assert stage(doc) is doc
    assert [stage.index().items[i].id for i in stage.index().unchecked] == ["tiny"]
    assert Decontaminate(benchmarks=(benchmark,), min_ngram=4)(doc).detail.startswith("mill.jsonl tiny")


def test_a_question_and_its_choice_make_one_text(make_doc, benchmark):
    stage = Decontaminate(benchmarks=(benchmark,))
    [overlap] = stage.overlaps(make_doc(f"{words(LONG, 8, 17)} nineteen sacks of flour"))
    shown = f"{words(LONG, 8, 17)} nineteen sacks of flour"
    assert overlap == Overlap("mill.jsonl", "long", 1, shown, 13, 13 / 21)
    assert stage.overlaps(make_doc(f"{words(LONG, 8, 17)} eighteen sacks of flour")) == []


def test_case_punctuation_numbers_and_accents_do_not_hide_an_item(make_doc, tmp_path):
    item = "In 1874 the Müller's son raised the dam by 25 metres, then sold 3 sacks to his brother"
    stage = Decontaminate(benchmarks=(write(tmp_path / "b.jsonl", {"query": item}),))
    page = "IN 1999 THE MULLER'S SON -- raised the dam by 2 metres; then (sold) 77 sacks to his brother!"
    assert stage(make_doc(page)).reason == "benchmark_overlap"


def test_rows_of_numbers_and_repeated_words_are_no_sign(make_doc, tmp_path):
    numbers = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"
    stage = Decontaminate(
        benchmarks=(write(tmp_path / "b.jsonl", {"query": numbers}, {"query": "very " * 20}, {"query": LONG}),)
    )
    doc = make_doc(f"{numbers} {'very ' * 30}")
    assert stage(doc) is doc
    assert stage.index().unchecked == (0, 1)


def test_half_of_the_words_must_differ(make_doc, tmp_path):
    seven, six = "a b c d e f g g g g g g g", "a b c d e f f f f f f f f"
    stage = Decontaminate(benchmarks=(write(tmp_path / "b.jsonl", {"query": seven}, {"query": six}),))
    assert stage(make_doc(seven)).value == 1
    assert isinstance(stage(make_doc(six)), type(make_doc("")))


def test_what_many_items_share_is_the_form_of_a_question(make_doc, tmp_path):
    form = "read the following short passage with care and then choose the one answer that"
    path = write(tmp_path / "b.jsonl", *({"query": f"{form} number{'abcd'[i]}"} for i in range(4)))
    doc = make_doc(form)
    assert Decontaminate(benchmarks=(path,), max_items=3)(doc) is doc
    assert Decontaminate(benchmarks=(path,), max_items=4)(doc).value == 2


def test_max_overlap_is_inclusive(make_doc, benchmark):
    doc = make_doc(LONG)
    kept = Decontaminate(benchmarks=(benchmark,), max_overlap=5)(doc)
    assert (kept.text, [overlap.item for overlap in kept.overlaps]) == (LONG, ["long"])
    assert Decontaminate(benchmarks=(benchmark,), max_overlap=4)(doc).limit == 4


def test_without_a_limit_matches_are_put_on_record_and_no_page_dropped(make_doc, benchmark):
    stage = Decontaminate(benchmarks=(benchmark,), max_overlap=None)
    kept = stage(make_doc(f"{LONG} x {SHORT}"))
    assert [(o.item, o.ngrams, o.length, o.share) for o in kept.overlaps] == [
        ("long", 5, 17, 1.0),
        ("short", 1, 8, 1.0),
    ]
    assert [o.item for o in stage(kept).overlaps] == ["long", "short"] * 2  # of two stages with benchmarks of their own
    clean = make_doc("nothing of the kind")
    assert stage(clean) is clean


def test_a_drop_carries_its_overlaps(make_doc, benchmark):
    drop = Decontaminate(benchmarks=(benchmark,))(make_doc(LONG))
    assert [(o.item, o.length) for o in drop.overlaps] == [("long", 17)]


@pytest.mark.parametrize(
    ("page", "length", "share"),
    [
        (words(LONG, 0, 13), 13, 13 / 17),
        (words(LONG, 2, 16), 14, 14 / 17),
        (LONG, 17, 1.0),
        (f"{LONG} and again {LONG}", 17, 1.0),
        (f"{words(LONG, 0, 14)} and again {LONG}", 17, 1.0),  # the first of two occurrences is cut short
        (f"{words(LONG, 0, 13)} x {words(LONG, 4, 17)}", 13, 1.0),
        (f"{LONG} nineteen sacks of flour", 21, 1.0),
        (f"{words(LONG, 3, 17)} nineteen sacks of flour", 18, 18 / 21),
    ],
)
def test_length_is_the_longest_run_and_share_is_of_the_item(make_doc, benchmark, page, length, share):
    [overlap] = Decontaminate(benchmarks=(benchmark,)).overlaps(make_doc(page))
    assert (overlap.length, overlap.share) == (length, pytest.approx(share))


def test_a_page_that_repeats_an_item_ten_thousand_times(make_doc, benchmark):
    [overlap] = Decontaminate(benchmarks=(benchmark,)).overlaps(make_doc(f"{LONG} | " * 10_000))
    assert (overlap.ngrams, overlap.length, overlap.share) == (5, 17, 1.0)


def test_overlaps_name_every_item_the_most_shared_first(make_doc, tmp_path):
    a = write(tmp_path / "a.jsonl", {"query": words(LONG, 0, 14)}, {"id": "q", "query": SHORT})
    b = write(tmp_path / "b.jsonl", {"id": "z", "context": LONG})
    stage = Decontaminate(benchmarks=(a, b))
    found = stage.overlaps(make_doc(f"{SHORT} {LONG}"))
    assert [(o.benchmark, o.item, o.ngrams) for o in found] == [
        ("b.jsonl", "z", 5),
        ("a.jsonl", "1", 2),
        ("a.jsonl", "q", 1),
    ]
    assert stage(make_doc(f"{SHORT} {LONG}")).detail.startswith("b.jsonl z (and 2 other items): a miller grinds")


def test_without_benchmarks_nothing_is_dropped(make_doc):
    doc = make_doc(LONG)
    assert Decontaminate()(doc) is doc


def test_empty_and_tiny_pages(make_doc, benchmark):
    stage = Decontaminate(benchmarks=(benchmark,))
    for text in ("", " ", "one", "\x00"):
        doc = make_doc(text)
        assert stage(doc) is doc


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no items$"),
        (b'{"query": ' + b"[" * 100_000, "line 1: not valid JSON"),
        (b'{"query": 3}\n', "no item has any of the fields query; it has query"),
        (b'{"question": "a"}', "no item has any of the fields query; it has question"),
        (b'{"query": "a"}\n{"query": ', "line 2: not valid JSON"),
        (b'["a"]', "line 1: expected an object of fields"),
        (b"\xff\xfe", "line 1: not valid JSON"),
    ],
)
def test_a_file_that_is_no_benchmark_is_refused_before_the_run(tmp_path, content, message):
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=rf"benchmarks\[0\]: .*bad\.jsonl.*{message}"):
        Decontaminate(benchmarks=(str(tmp_path / "bad.jsonl"),), fields=("query",))


def test_a_missing_file_is_refused_before_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"benchmarks\[0\]: cannot read .*none\.jsonl: No such file"):
        Decontaminate(benchmarks=(str(tmp_path / "none.jsonl"),))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(ValueError, match=r"cannot read .*pipe\.jsonl: not a regular file"):
        Decontaminate(benchmarks=(str(tmp_path / "pipe.jsonl"),))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_ngram": 0}, "min_ngram: must be at least 1, got 0"),
        ({"ngram": 7}, r"ngram: must be at least min_ngram \(8\), got 7"),
        ({"max_overlap": -1}, "max_overlap: must be at least 0, got -1"),
        ({"max_items": 0}, "max_items: must be at least 1, got 0"),
    ],
)
def test_impossible_values(options, message):
    with pytest.raises(ValueError, match=message):
        Decontaminate(**options)
