"""What the pages ask of the tables, against a run and against rows counted by hand."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.explore.cluster import members, side_by_side
from pipeline.explore.conditions import Compared, Equal, Holds, InDomain, parse
from pipeline.explore.detail import row_detail
from pipeline.explore.folder import Folder, split_reason
from pipeline.explore.queries import Ranking, in_order, ranked, search
from pipeline.explore.request import PageError, RequestParameters
from pipeline.explore.rerun import rerun
from pipeline.explore.scan import Budget, Coverage, Part, scan, spread

ALL = Budget(rows=10**9, seconds=60)


@pytest.fixture
def parts(tmp_path):
    """Three parts of 25 documents in row groups of 10: words 0 to 74, three hosts in turn."""
    found = []
    for number in range(3):
        rows = range(25 * number, 25 * number + 25)
        hosts = ["a.example", "b.A.example:80", "ba.example"]
        table = pa.table(
            {
                "id": [f"id{row}" for row in rows],
                "url": [f"https://{hosts[row % 3]}/{row}" for row in rows],
                "language": ["en" if row % 2 else "de" for row in rows],
                "text": [f"The Text of {row}" for row in rows],
                "signals": pa.array([{"gopher_quality": {"words": float(row)}} for row in rows]),
            }
        )
        pq.write_table(table, tmp_path / f"part-{number:05d}.parquet", row_group_size=10)
        found.append(Part(f"{number:05d}", tmp_path / f"part-{number:05d}.parquet"))
    return found


def ids(found):
    return [hit.values["id"] for hit in found.hits]


def words(sign, value):
    return Compared("gopher_quality.words", sign, value)


@pytest.mark.parametrize(
    ("sign", "value", "expected"),
    [
        ("<", 2, [0, 1]),
        ("<=", 2, [0, 1, 2]),
        (">", 72, [73, 74]),
        (">=", 72, [72, 73, 74]),
        ("=", 30, [30]),
        ("=", 30.5, []),
    ],
)
def test_signals_are_compared_and_row_groups_passed_over(parts, sign, value, expected):
    found = in_order("documents", parts, [words(sign, value)], ("", 0), ALL)
    assert ids(found) == [f"id{number}" for number in expected]
    assert found.coverage.skipped >= 60 and found.coverage.rows + found.coverage.skipped == 75
    assert found.next is None and found.coverage.complete


def test_language_domain_and_text(parts):
    both = in_order("documents", parts, [Equal("language", "en"), words("<", 4)], ("", 0), ALL)
    assert ids(both) == ["id1", "id3"]
    # A subdomain belongs to a domain, a host that only ends alike does not.
    assert ids(in_order("documents", parts, [InDomain("A.example"), words("<", 6)], ("", 0), ALL)) == [
        "id0",
        "id1",
        "id3",
        "id4",
    ]
    assert ids(in_order("documents", parts, [InDomain(".*"), words("<", 6)], ("", 0), ALL)) == []
    found = search([("documents", parts)], [Holds("the TEXT of 7")], ALL, batch=10)["documents"]
    assert ids(found) == ["id7", "id70", "id71", "id72", "id73", "id74"]
    assert ids(search([("documents", parts)], [Holds("%")], ALL, batch=10)["documents"]) == []


def test_going_on_reaches_every_row_once_whatever_the_budget(parts):
    for budget in (ALL, Budget(rows=7, seconds=60), Budget(rows=10, seconds=60), Budget(rows=75, seconds=0)):
        seen, start = [], ("", 0)
        for _ in range(40):
            found = in_order("documents", parts, [], start, budget)
            seen += ids(found)
            if found.next is None:
                break
            part, _, row = found.next.partition(":")
            start = (part, int(row))
        assert seen == [f"id{number}" for number in range(75)], budget


def test_a_ranking_has_the_smallest_first_and_pages_do_not_overlap(parts):
    down = ranked("documents", parts, [], Ranking("descending", "gopher_quality.words"), 0, ALL)
    assert ids(down) == [f"id{number}" for number in range(74, 24, -1)] and down.next == "50"
    assert ids(ranked("documents", parts, [], Ranking("descending", "gopher_quality.words"), 50, ALL)) == [
        f"id{number}" for number in range(24, -1, -1)
    ]
    up = ranked("documents", parts, [words(">=", 70)], Ranking("ascending", "gopher_quality.words"), 0, ALL)
    assert ids(up) == ["id70", "id71", "id72", "id73", "id74"] and up.next is None


def test_a_sample_depends_on_seed_and_ids_alone(parts):
    first = ids(ranked("documents", parts, [], Ranking("sample", seed=1), 0, ALL))
    assert first == ids(ranked("documents", parts[::-1], [], Ranking("sample", seed=1), 0, ALL))
    other = ids(ranked("documents", parts, [], Ranking("sample", seed=2), 0, ALL))
    assert set(first) != set(other) and len(set(first)) == 50
    assert spread(parts, 3) == spread(parts[::-1], 3)


def test_a_bounded_look_says_so(parts):
    coverage = Coverage()
    rows = sum(len(batch.table) for batch in scan(parts, ["id"], coverage, budget=Budget(rows=20, seconds=60)))
    assert rows == 20 and not coverage.complete
    assert str(coverage).startswith("Looked at 20 rows, in 1 of 3 parts. The rest was not looked at")


def test_a_damaged_part_is_named_and_the_others_are_read(parts):
    parts[1].path.write_bytes(b"PAR1 no more")
    found = in_order("documents", parts, [words(">=", 20), words("<", 52)], ("", 0), ALL)
    assert ids(found) == ["id20", "id21", "id22", "id23", "id24", "id50", "id51"]
    assert "1 parts could not be read: 00001" in str(found.coverage)


@pytest.mark.parametrize(
    "text",
    ["words<80", "gopher_quality.words", "gopher_quality.words<", "gopher_quality.words<80 or", "x", "'; drop--"],
)
def test_conditions_that_are_none_are_refused_with_the_known(text):
    with pytest.raises(PageError) as error:
        parse(text, ["gopher_quality.words", "token_count"])
    assert error.value.status == 400 and "gopher_quality.words" in error.value.known


def test_conditions_are_read():
    known = ["gopher_quality.words", "token_count"]
    assert parse(" gopher_quality.words < 80,token_count>=1e3 ", known) == (
        words("<", 80.0),
        Compared("token_count", ">=", 1000.0),
    )
    assert parse("", known) == ()
    with pytest.raises(PageError, match="at most 8"):
        parse("token_count>1 " * 9, known)


@pytest.mark.parametrize("query", ["a=1&a=2", "a=" + "x" * 1025, "&".join(f"p{n}=1" for n in range(25)), "a=%ff"])
def test_queries_that_are_too_much_are_refused(query):
    with pytest.raises(PageError) as error:
        RequestParameters.parse(query)
    assert error.value.status == 400


def test_dropped_comes_nearest_to_the_limit_first(out):
    folder = Folder(out)
    parts = [part for part in folder.parts("dropped").values() if part.name.startswith("filter-")]
    found = ranked("dropped", parts, [], Ranking("nearest"), 0, ALL)
    values = [hit.values["value"] for hit in found.hits]
    assert len(values) == 4 and values == sorted(values, reverse=True) and all(value < 80 for value in values)
    near = {most: sum((80 - value) / 80 <= most for value in values) for most in (0.05, 0.1, 0.25)}
    assert dict(found.near) == near


def test_a_dropped_page_has_its_text_and_signals_from_the_step_before(out):
    folder = Folder(out)
    shown = row_detail(folder, "dropped", "filter-00001", 0, with_rerun=False)
    assert shown.values["reason"] == "too_few_words" and "Story number" in shown.text and "extract" in shown.text_from
    [limit] = [limit for signal in shown.signals if signal.name == "words" for limit in signal.limits if limit.broken]
    assert (limit.name, limit.kind, limit.value) == ("min_words", "at least", 80.0)


def test_a_page_dropped_before_extraction_is_read_again(out):
    folder = Folder(out)
    part = next(name for name in folder.parts("dropped") if name.startswith("extract-"))
    before = row_detail(folder, "dropped", part, 0, with_rerun=False)
    assert before.text == "" and before.can_rerun
    shown = row_detail(folder, "dropped", part, 0, with_rerun=True)
    assert "Story number 80" in shown.text
    answers = {verdict.stage: verdict.answer for verdict in shown.rerun.verdicts}
    assert answers["url_filter"].startswith("would drop: domain") and answers["gopher_quality"] == "passes"
    assert {signal.stage for signal in shown.signals} == {"gopher_quality"}


def test_a_record_outside_the_inputs_is_not_opened(out):
    row = {"id": "x", "warc_path": "/etc/passwd", "warc_offset": 0}
    with pytest.raises(PageError, match="not among the inputs") as error:
        rerun(Folder(out).record(), row)
    assert error.value.status == 404


def test_tokens_are_those_of_the_text(out):
    folder, seen = Folder(out), 0
    for part in folder.parts("documents"):
        for row in range(pq.read_metadata(folder.parts("documents")[part].path).num_rows):
            shown = row_detail(folder, "documents", part, row, with_rerun=False)
            [span] = shown.tokens.spans
            assert span.length == shown.values["token_count"]
            if span.length <= 3000:
                assert "".join(piece.text for piece in span.pieces).startswith(shown.text)
                assert sum(len(piece.ids) for piece in span.pieces) == span.length
            seen += 1
    assert seen == 15


def test_a_cluster_has_its_members_and_they_stand_side_by_side(out):
    folder = Folder(out)
    parts = list(folder.parts("documents").values())
    [kept] = [hit for hit in in_order("documents", parts, [], ("", 0), ALL).hits if hit.values["cluster_size"] > 1]
    assert kept.values["url"] == "https://s2.site.example/11" and kept.values["cluster_size"] == 3
    found = members(folder, kept.values["id"])
    assert sorted(hit.values["url"] for hit in found.hits) == [
        "https://copy.example/exact",
        "https://copy.example/near",
    ]
    near = next(hit for hit in found.hits if hit.values["url"].endswith("near"))
    pair = side_by_side(folder, (kept.part, kept.row), (near.part, near.row))
    changed = [row for row in pair.difference.rows if row.kind == "changed"]
    assert [piece for row in changed for piece in row.left if piece[1]] == [("Story", True)] and 0.9 < pair.exact < 1
    with pytest.raises(PageError, match="not dropped for"):
        side_by_side(folder, (kept.part, kept.row - 1), (near.part, near.row))


def test_links_in_a_folder_lead_nowhere(tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/part-00000.parquet").symlink_to("/etc/passwd")
    (tmp_path / "documents/part-../x.parquet").parent.mkdir()
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "documents/part-00001.parquet")
    assert list(Folder(tmp_path).parts("documents")) == ["00001"]


def test_a_listing_follows_the_folder(tmp_path):
    (tmp_path / "dropped").mkdir()
    folder = Folder(tmp_path)
    assert folder.parts("dropped") == {}
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "dropped/part-filter-00001.parquet")
    assert list(folder.parts("dropped")) == ["filter-00001"]


def test_only_a_stages_name_has_dots():
    assert split_reason("filter.my.module.Stage.too_bad") == ("filter", "my.module.Stage", "too_bad")


def test_missing_columns_are_nulls():
    table = pa.table({"id": ["a"]})
    assert pc.sum(pc.cast(words("<", 1).mask(table), pa.int64())).as_py() == 0
    assert pc.sum(pc.cast(InDomain("a.example").mask(table), pa.int64())).as_py() == 0
