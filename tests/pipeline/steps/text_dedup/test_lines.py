"""Documents without the lines that stand in many documents of their domain."""

import random

import pytest
from text_steps import DyingRunner, KilledError, Run, document

from pipeline.dedup.lines import LineDedup, distinct_lines, scope_of, without_lines
from pipeline.engine.settings import RaySettings
from pipeline.steps.dedup import step as dedup_step
from pipeline.steps.text_dedup import phases

THREE = LineDedup(min_documents=3, min_document_words=None)


MENU = "Home | About us | Contact"


def pages(number, url="https://site.example/", **fields):
    """Documents of three lines, the first of them MENU; later ones have later dates."""
    return [
        document(f"{url[8:10]}{n}", f"{MENU}\nonly page {n} of {url} says this\nshort", n, url) for n in range(number)
    ]


@pytest.mark.parametrize("documents", [2, 3])
def test_a_line_goes_when_it_stands_in_enough_documents(tmp_path, documents):
    run = Run(tmp_path, THREE, [pages(documents)])
    menus = [MENU in text for text in run.texts.values()]
    assert menus == ([True] * 2 if documents == 2 else [True, False, False])
    assert all("short" in text and "says this" in text for text in run.texts.values())
    assert run.counts["lines_removed"] == (0 if documents == 2 else 2)


def test_what_went_is_measured_and_counted(tmp_path):
    run = Run(tmp_path, THREE, [pages(4)])
    assert run.texts["si2"] == "only page 2 of https://site.example/ says this\nshort"
    assert run.signals["si0"] == {"lines": 0.0, "characters": 0.0}
    assert run.signals["si2"] == {"lines": 1.0, "characters": len(MENU) + 1.0}
    counts = run.counts
    assert counts["changed"] == counts["lines_removed"] == 3
    assert counts["characters_removed"] == 3 * (len(MENU) + 1)
    assert counts["characters_read"] == counts["characters_kept"] + counts["characters_removed"]
    assert (counts["read"], counts["kept"], counts["dropped"]) == (4, 4, 0)


def test_it_stays_in_the_earliest_document_or_nowhere(tmp_path):
    rows = pages(3)
    for row, day in zip(rows, (None, 2, 1), strict=True):
        row["date"] = document("", "", day)["date"]
    kept = Run(tmp_path / "first", THREE, [rows[:1], rows[1:]]).texts
    assert [name for name, text in kept.items() if MENU in text] == ["si2"]
    none = LineDedup(min_documents=3, min_document_words=None, keep="none")
    assert not any(MENU in text for text in Run(tmp_path / "none", none, [rows[:1], rows[1:]]).texts.values())


def test_documents_are_counted_within_their_domain_or_in_all(tmp_path):
    rows = [*pages(2, "https://one.example.co.uk/"), *pages(2, "http://www.two.example.co.uk:80/"),
            *pages(2, "https://other.example/")]  # fmt: skip
    run = Run(tmp_path / "domain", LineDedup(min_documents=4, min_document_words=None), [rows])
    # on0 and ww0 have the same date: the hash of the id decides.
    assert [name for name, text in run.texts.items() if MENU in text] == ["ww0", "ot0", "ot1"]
    everywhere = LineDedup(min_documents=6, scope="global", min_document_words=None)
    run = Run(tmp_path / "global", everywhere, [rows])
    assert sum(MENU in text for text in run.texts.values()) == 1


def test_a_line_counts_once_for_a_document(tmp_path):
    rows = [document("a", f"{MENU}\n" * 9 + "a", 1), document("b", f"b\n  {MENU}\t\n{MENU}", 2), document("c", "c", 3)]
    assert Run(tmp_path / "two", THREE, [rows]).counts["lines_removed"] == 0
    rows[2]["text"] = f"{MENU}\nc"
    run = Run(tmp_path / "three", THREE, [rows])
    assert run.texts == {"a": rows[0]["text"], "b": "b", "c": "c"}  # where it stays, it stays as it was


def test_ten_characters_are_enough(tmp_path):
    rows = [document(str(n), f"123456789\n{n}\n1234567890", n) for n in range(3)]
    assert Run(tmp_path, THREE, [rows]).texts["2"] == "123456789\n2"


@pytest.mark.parametrize("words", [49, 50])
def test_documents_that_become_too_short_are_dropped_with_what_they_lost(tmp_path, words):
    rows = pages(3)
    rows[1]["text"] = MENU + "\n" + "word " * 60
    rows[2]["text"] = MENU + "\n" + "word " * (words - 1) + "word"
    run = Run(tmp_path, LineDedup(min_documents=3), [rows], dropped_text=True)
    assert list(run.texts) == (["si0", "si1", "si2"] if words == 50 else ["si0", "si1"])  # si0 is short, and whole
    if words == 50:
        assert run.dropped == []
        return
    (row,) = run.dropped
    assert [row[name] for name in ("id", "url", "step", "stage", "reason", "value", "limit", "detail", "text")] == [
        "si2", "https://site.example/si2", "line_dedup", "repeated_lines", "too_few_words", 49.0, 50.0,
        "1 lines, 26 of 270 characters removed", rows[2]["text"],
    ]  # fmt: skip
    assert run.counts["dropped.repeated_lines.too_few_words"] == run.counts["dropped"] == 1
    assert run.counts["lines_removed"] == 1  # of the document that stayed


def brute_force(rows, config):
    """id -> the text that stays, by going through all documents for each line of each."""

    def where(line, scope):
        return [row for row in ordered if scope_of(row["url"], config) == scope
                and line in distinct_lines(row["text"], config)]  # fmt: skip

    def tie(row):
        return int.from_bytes(phases.blake2b(row["id"].encode(), digest_size=8).digest(), "little")

    ordered = sorted(rows, key=lambda row: (row["date"] is None, row["date"] or 0, tie(row)))
    found = {}
    for row in rows:
        holders = {line: where(line, scope_of(row["url"], config)) for line in distinct_lines(row["text"], config)}
        gone = {line for line, among in holders.items() if len(among) >= config.min_documents and among[0] is not row}
        found[row["id"]] = without_lines(row["text"], gone)[0]
    return found


def crawl(seed, documents=60):
    rng = random.Random(seed)
    lines = [f"a line of some length {n}" for n in range(12)] + ["tiny", "", "  "]
    return [document(f"{seed}-{n}", "\n".join(rng.choices(lines, k=rng.randrange(8))), rng.choice([None, 0, 1]),
                     rng.choice(["https://a.example/", "https://sub.a.example/", "https://b.example/"]))
            for n in range(documents)]  # fmt: skip


def test_neither_parts_nor_memory_change_what_brute_force_finds(tmp_path, monkeypatch):
    rows = crawl(1)
    config = LineDedup(min_documents=4, min_document_words=None)
    wanted = brute_force(rows, config)
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 12)
    monkeypatch.setattr(phases, "MIN_RUN", 16)
    monkeypatch.setattr(phases, "READ_ROWS", 4)
    assert sum(wanted[row["id"]] != row["text"] for row in rows) / len(rows) > 0.2
    for parts in range(1, 5):
        random.Random(parts).shuffle(rows)
        memory = RaySettings(memory_per_task=1 << 12 if parts % 2 else None)
        run = Run(tmp_path / str(parts), config, [rows[n::parts] for n in range(parts)], ray=memory)
        assert run.texts == wanted


def test_killed_anywhere_and_run_again_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(dedup_step, "MIN_GROUP", 12)
    rows = crawl(2)
    parts = [rows[n::3] for n in range(3)]
    wanted = Run(tmp_path / "undisturbed", THREE, parts).bytes
    for tasks in range(40):
        try:
            run = Run(tmp_path / "killed", THREE, parts, runner=DyingRunner(1))
            break
        except KilledError:
            assert tasks < 20
    assert tasks == 6
    assert run.bytes == wanted


def test_no_documents_and_empty_ones(tmp_path):
    assert Run(tmp_path / "none", THREE, [[]]).kept == []
    assert Run(tmp_path / "empty", THREE, [[document("a", ""), document("b", "\n\n")], []]).texts == {
        "a": "", "b": "\n\n",
    }  # fmt: skip
