"""The pages over tables made by hand: parameters in, rows and links to the next page out."""

import pytest
from run_records import run_record, write_part

from pipeline.contract.run import InputFile, Totals
from pipeline.explore.folder import Folder
from pipeline.explore.pages import PAGES, link
from pipeline.explore.request import PageError, RequestParameters

PLACE = {"warc_path": "a.warc.gz", "warc_offset": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 documents of two hosts and languages, four drops for three reasons, one page given up."""
    out = tmp_path_factory.mktemp("pages")
    write_part(out / "documents", "00000", [
        {"id": f"d{n}", "url": f"https://{'ab'[n % 2]}.example/{n}", "language": ("en", "de")[n >= 58],
         "token_count": 100 - n, "text": f"Text  number\n{n}", "cluster_size": 1,
         "signals": {"gopher_quality": {"words": float(n)}}, **PLACE} for n in range(60)
    ])  # fmt: skip
    reasons = [("gopher_quality", "too_few_words", 40.0, 50.0), ("gopher_quality", "too_few_words", 49.0, 50.0),
               ("c4", "too_few_sentences", 1.0, 4.0)]  # fmt: skip
    for step, rows in (("filter", reasons), ("extract", [("url_filter", "domain", None, None)])):
        write_part(out / "dropped", f"{step}-00000", [
            {"id": f"{step}{n}", "url": f"https://c.example/{n}", "step": step, "stage": stage, "reason": reason,
             "value": value, "limit": limit, "detail": None, "text": f"short {n}", **PLACE}
            for n, (stage, reason, value, limit) in enumerate(rows)
        ])  # fmt: skip
    write_part(out / "quarantine", "extract-00000", [
        {"id": "q0", "url": "https://q.example/", "step": "extract", "stage": "main_text", "cause": "timeout",
         "seconds": 2.0, **PLACE}
    ])  # fmt: skip
    dropped = {
        "filter.gopher_quality.too_few_words": 2,
        "filter.c4.too_few_sentences": 1,
        "extract.url_filter.domain": 1,
    }
    config = {"extract": [], "filter": [], "dedup": None, "tokenize": {}}
    inputs = (InputFile(path="other.warc.gz"),)
    totals = Totals(read=65, kept=60, quarantined=1, dropped=dropped)
    run_record(config=config, totals=totals, inputs=inputs).write(out)
    return Folder(out)


def ask(folder, path, query=""):
    return PAGES[path](folder, RequestParameters.parse(query))


def found(folder, path, query=""):
    """Ids of the rows on a page, and its link to the next."""
    _, values = ask(folder, path, query)
    return [hit.values["id"] for hit in values["found"].hits], values["next"]


def test_the_first_page_has_the_totals_and_the_flow(folder):
    template, values = ask(folder, "/")
    assert (template, values["done"], values["dropped"], values["committed"]) == ("overview.html.j2", True, 4, ())
    assert [(step.name, step.read, step.kept) for step in values["flow"]] == [
        ("extract", 65, 63), ("filter", 63, 60), ("tokenize", 60, 60)]  # fmt: skip
    assert values["reasons"][0] == ("filter", "gopher_quality", "too_few_words", 2)


def test_documents_go_on_where_the_page_ended(folder):
    ids, following = found(folder, "/documents")
    assert ids == [f"d{n}" for n in range(50)]
    assert found(folder, "/documents", following) == ([f"d{n}" for n in range(50, 60)], None)
    assert found(folder, "/documents", "from=00000:58") == (["d58", "d59"], None)


def test_documents_are_chosen_by_every_condition_together(folder):
    assert found(folder, "/documents", "language=de&domain=b.example")[0] == ["d59"]
    assert found(folder, "/documents", "signals=gopher_quality.words%3C3&words=NUMBER")[0] == ["d0", "d1", "d2"]
    assert found(folder, "/documents", "domain=example.com") == ([], None)


def test_a_ranking_keeps_its_parameters_on_the_next_page(folder):
    query = "order=descending&sort=gopher_quality.words&signals=gopher_quality.words%3E%3D5"
    ids, following = found(folder, "/documents", query)
    assert (ids[0], ids[-1], following) == ("d59", "d10", f"{query}&skip=50")
    assert found(folder, "/documents", following) == (["d9", "d8", "d7", "d6", "d5"], None)
    assert found(folder, "/documents", "order=ascending&sort=token_count")[0][0] == "d59"


def test_texts_beside_documents_stand_on_one_line(folder):
    assert ask(folder, "/documents")[1]["texts"]["00000", 7] == "Text number 7"


def test_drops_come_by_reason_the_nearest_to_its_limit_first(folder):
    assert found(folder, "/dropped") == (["filter1", "filter0", "filter2", "extract0"], None)
    assert found(folder, "/dropped", "reason=too_few_words&order=stored")[0] == ["filter0", "filter1"]
    assert found(folder, "/dropped", "step=extract")[0] == ["extract0"]
    with pytest.raises(PageError) as caught:
        ask(folder, "/dropped", "stage=c5")
    assert (caught.value.status, caught.value.known) == (400, ("gopher_quality", "url_filter", "c4"))


def test_quarantine_is_chosen_by_cause(folder):
    template, values = ask(folder, "/quarantine")
    assert (template, values["causes"], values["total"]) == (
        "quarantine.html.j2",
        {("extract", "main_text", "timeout"): 1},
        1,
    )
    assert found(folder, "/quarantine", "cause=timeout") == (["q0"], None)
    assert found(folder, "/quarantine", "cause=memory") == ([], None)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("for=https://a.example/4", {"documents": ["d4"], "dropped": [], "quarantine": []}),
        ("by=domain&for=q.example", {"documents": [], "dropped": [], "quarantine": ["q0"]}),
        ("by=id&for=filter2", {"documents": [], "dropped": ["filter2"], "quarantine": []}),
        ("by=words&for=text++number%0A59", {"documents": ["d59"], "dropped": []}),
        ("by=words", {}),
    ],
)
def test_search_looks_in_every_table_that_can_hold_it(folder, query, ids):
    _, values = ask(folder, "/search", query)
    assert {table: [hit.values["id"] for hit in result.hits] for table, result in values["found"].items()} == ids


def test_a_page_that_is_not_among_the_inputs_cannot_be_read_again(folder):
    _, values = ask(folder, "/document", "table=dropped&part=filter-00000&row=1")
    assert (values["detail"].values["id"], values["detail"].can_rerun, values["stays"]) == ("filter1", False, None)


@pytest.mark.parametrize(
    ("path", "query", "status", "problem"),
    [
        ("/", "table=dropped", 400, "there is no parameter 'table' here"),
        ("/document", "table=../documents&part=00000", 400, "'../documents' is not known"),
        ("/document", "part=00001", 404, "there is no part '00001' of documents"),
        ("/document", "part=00000&row=60", 404, "part 00000 of documents has no row 60"),
        ("/documents", "order=ascending&sort=words", 400, "sort: 'words' is not known"),
        ("/documents", "skip=1001&order=sample", 400, "skip: '1001' is not a whole number from 0 to 1,000"),
        ("/documents", "from=00000:-1", 400, "from: '-1' is not a whole number"),
        ("/diff", "part=00000&row=0&other=x", 404, ""),
    ],
)
def test_wrong_parameters_are_named(folder, path, query, status, problem):
    with pytest.raises(PageError) as caught:
        ask(folder, path, query)
    assert caught.value.status == status and problem in str(caught.value)


def test_links_leave_out_what_is_empty_and_escape_the_rest():
    assert link("/documents") == link("/documents", words="", domain=None) == "/documents"
    assert (
        link("/document", part="00000", row=0, url="a&b=\u00e9 \ud800")
        == "/document?part=00000&row=0&url=a%26b%3D%C3%A9+%3F"
    )
