"""Documents without the runs of words that stand elsewhere, against brute force."""

import itertools
import random

import pytest
from text_steps import DyingRunner, KilledError, Run, document

from pipeline.dedup import substrings
from pipeline.dedup.substrings import SubstringDedup, cut_words
from pipeline.engine.ledger import Ledger, add_counts
from pipeline.engine.settings import RaySettings
from pipeline.steps.dedup import step as dedup_step
from pipeline.steps.text_dedup import phases
from pipeline.steps.text_dedup import substrings as substring_dedup

SMALL = SubstringDedup(min_words=6, min_document_words=None)


def words_of(text):
    cut = cut_words(text)
    return [text[start:end] for start, end in zip(cut.starts, cut.ends, strict=True)]


def repeated_words(rows, size, keep):
    """By looking at every pair of windows of the rows in their order: id -> numbers of the words that go.

    A window goes if an equal one lies before it (in keeping order) and, in one document, does not overlap it; with
    keep none, if an equal one lies anywhere else.
    """
    rows = sorted(rows, key=lambda row: (row["date"] is None, row["date"] or 0, tie(row["id"])))
    windows = [(number, at, tuple(words[at : at + size]))
               for number, words in enumerate(words_of(row["text"]) for row in rows)
               for at in range(len(words) - size + 1)]  # fmt: skip
    gone = {row["id"]: set() for row in rows}
    for later, (number, at, content) in enumerate(windows):
        others = windows[:later] if keep == "first" else windows[:later] + windows[later + 1 :]
        apart = size if keep == "first" else 1
        if any(content == other and (number != n or at - a >= apart or keep == "none") for n, a, other in others):
            gone[rows[number]["id"]] |= set(range(at, at + size))
    return gone


def tie(name):
    return int.from_bytes(phases.blake2b(name.encode(), digest_size=8).digest(), "little")


def left(rows, gone):
    """id -> the words that stay."""
    return {row["id"]: [word for n, word in enumerate(words_of(row["text"])) if n not in gone[row["id"]]]
            for row in rows}  # fmt: skip


def corpus(seed, documents=25, vocabulary=3):
    """Texts over few words (so that runs repeat by chance, overlap and are periodic), some sharing a longer run."""
    rng = random.Random(seed)
    shared = [" ".join(rng.choices("abcdefgh", k=rng.randrange(4, 20))) for _ in range(4)]
    rows = []
    for number in range(documents):
        pieces = [" ".join(rng.choices("abcdefghij"[:vocabulary], k=rng.randrange(0, 15))) for _ in range(3)]
        pieces.insert(rng.randrange(3), rng.choice(shared))
        if rng.random() < 0.3:
            pieces.append(" ".join([rng.choice("xy")] * rng.randrange(20)))
        day = rng.choice([None, 0, 1, 2])
        rows.append(document(f"{seed}-{number}", rng.choice([" ", "\n"]).join(pieces), day))
    return rows


@pytest.mark.parametrize("keep", ["first", "none"])
@pytest.mark.parametrize("seed", range(6))
def test_exactly_the_runs_that_brute_force_finds_go(tmp_path, seed, keep):
    rows = corpus(seed, vocabulary=3 + seed)
    config = SubstringDedup(min_words=4 + seed, keep=keep, min_document_words=None)
    run = Run(tmp_path, config, [rows[:7], [], rows[7:]])
    gone = repeated_words(rows, config.min_words, keep)
    assert {name: words_of(text) for name, text in run.texts.items()} == left(rows, gone)
    assert {name: row["words"] for name, row in run.signals.items()} == {name: len(at) for name, at in gone.items()}
    assert sum(map(len, gone.values())) > 50


def suffix_array_runs(words, ends, size):
    """Places of windows that occur twice, by a naive suffix array over all words (no window crosses an end)."""
    suffixes = sorted(range(len(words)), key=lambda at: words[at:])
    found = set()
    for one, other in itertools.pairwise(suffixes):
        common = next((n for n in range(size) if words[one : one + n + 1] != words[other : other + n + 1]
                       or max(one, other) + n >= len(words)), size)  # fmt: skip
        if common == size:
            found |= {one, other}
    return {at for at in found if not any(at < end < at + size for end in ends)}


def test_the_same_places_as_a_suffix_array_of_the_whole_corpus(tmp_path):
    rows = corpus(9, vocabulary=4)
    config = SubstringDedup(min_words=5, keep="none", min_document_words=None)
    words, ends = [], []
    for number, row in enumerate(rows):
        words += [*words_of(row["text"]), f"end {number}"]  # a word of its own, so that nothing crosses it
        ends.append(len(words))
    covered = {n for at in suffix_array_runs(words, ends, 5) for n in range(at, at + 5)}
    kept = [word for n, word in enumerate(words) if n not in covered and not word.startswith("end ")]
    run = Run(tmp_path, config, [rows])
    assert [word for row in run.kept for word in words_of(row["text"])] == kept
    assert len(kept) < len(words) - len(rows)


def test_forty_nine_words_stay_and_fifty_go(tmp_path):
    fifty = [f"w{n}" for n in range(50)]
    runs = {"a": fifty, "b": fifty, "c": fifty[1:], "d": fifty[:-1]}
    rows = [document(name, f"{name} {' '.join(run)} {name}end", day) for day, (name, run) in enumerate(runs.items())]
    config = SubstringDedup(min_document_words=None)
    run = Run(tmp_path, config, [rows])
    assert run.texts == {row["id"]: row["text"] for row in rows} | {"b": "b bend"}
    assert run.signals["b"] == {"spans": 1.0, "words": 50.0, "characters": float(len(" ".join(fifty)) + 1)}
    assert run.signals["c"] == {"spans": 0.0, "words": 0.0, "characters": 0.0}


def test_the_run_stays_in_the_earliest_document_and_undated_ones_come_last(tmp_path):
    rows = [document("undated", "x one two three four five six"), document("late", "y one two three four five six", 2),
            document("early", "z one two three four five six", 1)]  # fmt: skip
    assert Run(tmp_path, SMALL, [rows]).texts == {
        "undated": "x", "late": "y", "early": "z one two three four five six",
    }  # fmt: skip


def test_a_periodic_text_keeps_a_window_of_its_own(tmp_path):
    assert Run(tmp_path, SMALL, [[document("a", "ha " * 100)]]).texts == {"a": "ha ha ha ha ha ha"}


@pytest.mark.parametrize("words", [9, 10])
def test_documents_that_become_too_short_are_dropped_with_what_they_lost(tmp_path, words):
    copied = "one two three four five six"
    rows = [document("a", copied, 1), document("b", copied + " " + " ".join(f"b{n}" for n in range(words)), 2)]
    config = SubstringDedup(min_words=6, min_document_words=10)
    run = Run(tmp_path, config, [rows], dropped_text=True)
    assert run.counts["read"] == 2 == run.counts["kept"] + run.counts["dropped"]
    assert run.counts["characters_read"] == sum(run.counts[f"characters_{x}"] for x in ("kept", "removed", "dropped"))
    if words == 10:
        assert run.dropped == []
        assert run.counts["words_removed"] == 6
        return
    (row,) = run.dropped
    assert [row[name] for name in ("id", "step", "stage", "reason", "value", "limit", "detail", "text")] == [
        "b", "substring_dedup", "repeated_spans", "too_few_words", 9.0, 10.0,
        "1 spans, 6 words, 28 of 54 characters removed", rows[1]["text"],
    ]  # fmt: skip
    assert list(run.texts) == ["a"]  # it lost nothing, so its six words are enough


def test_neither_parts_nor_memory_change_what_is_cut(tmp_path, monkeypatch):
    rows = corpus(3, documents=60)
    wanted = Run(tmp_path / "whole", SMALL, [rows])
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 10)
    monkeypatch.setattr(phases, "MIN_RUN", 16)
    monkeypatch.setattr(phases, "READ_ROWS", 4)
    monkeypatch.setattr(substrings, "BLOCK", 5)
    for parts in range(1, 5):
        random.Random(parts).shuffle(rows)
        ray = RaySettings(memory_per_task=1 << 12)
        run = Run(tmp_path / str(parts), SMALL, [rows[n::parts] for n in range(parts)], ray=ray)
        assert run.texts == wanted.texts
        assert run.counts == wanted.counts
    assert len(list((run.out / "steps/substring_dedup-repeats/files").iterdir())) > 3
    assert len(list((run.out / "steps/substring_dedup-windows/files").iterdir())) > 6


def test_killed_anywhere_and_run_again_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 10)
    rows = corpus(4)
    parts = [rows[n::3] for n in range(3)]
    wanted = Run(tmp_path / "undisturbed", SMALL, parts).bytes
    for tasks in range(40):
        try:
            run = Run(tmp_path / "killed", SMALL, parts, runner=DyingRunner(1))
            break
        except KilledError:
            assert tasks < 20
    assert tasks > 8
    assert run.bytes == wanted


def test_a_run_in_very_many_documents_costs_a_row_for_each_group(tmp_path, monkeypatch):
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 1000)
    notice = " ".join(f"w{n}" for n in range(8))  # 3 windows of 6 words
    rows = [document(f"{n:05d}", notice, n) for n in range(4000)]
    run = Run(tmp_path, SMALL, [rows[:1000], rows[1000:2000], rows[2000:3000], rows[3000:]])
    assert [name for name, text in run.texts.items() if text] == ["00000"]
    assert run.counts["changed"] == 3999
    stored = add_counts(Ledger(tmp_path, substring_dedup.WINDOWS).committed())
    assert stored == {"items": 12_000, "rows": 12}


def test_no_documents_empty_ones_and_one_record_read_twice(tmp_path):
    assert Run(tmp_path / "none", SMALL, [[]]).kept == []
    same = [document("a", "one two three four five six seven", 1)] * 2
    run = Run(tmp_path / "twice", SMALL, [[document("e", "")], same])
    assert [row["text"] for row in run.kept] == ["", same[0]["text"], ""]


def test_a_long_document_that_stands_twice_in_itself(tmp_path):
    rng = random.Random(0)
    words = [f"{rng.getrandbits(32):x}" for _ in range(100_000)]
    text = " ".join(words)
    run = Run(tmp_path, SMALL, [[document("a", text * 2 + " and " + " ".join(words[100:200]), 1)]])
    assert run.counts["words_removed"] >= 100_000 - 1
    assert abs(len(run.texts["a"]) - len(text)) < 40
