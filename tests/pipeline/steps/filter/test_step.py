"""Step 2: quality rules over the parts of step 1, every raw value kept."""

from step_runs import extracted, local_context, rows
from warc_pages import Page, article, write_warc

from pipeline.stages.gopher_quality import GopherQuality
from pipeline.stages.main_text import MainText
from pipeline.steps.filter import step as filter_step
from pipeline.steps.registry import FILTER
from pipeline.steps.tables import signals_type


def test_what_stays_and_what_goes_both_have_their_values(tmp_path):
    context = local_context(tmp_path / "out")
    short = "<p>One short line of text alone stands here today.</p>"
    pages = [Page(url=f"https://a.example/{n}", html=article(n)) for n in range(2)]
    pages.append(Page(url="https://a.example/short", html=short))
    stages = (GopherQuality(min_words=30),)
    _, parts = extracted(context, [write_warc(tmp_path / "a.warc.gz", pages)], (MainText(engine="resiliparse"),))
    commits = filter_step.run(context, parts, stages, signals_type(stages))
    [commit] = commits.values()
    assert (commit.counts["read"], commit.counts["kept"], commit.counts["dropped"]) == (3, 2, 1)
    kept, [gone] = (rows(context.out, commit, folder) for folder in (FILTER.folder, "dropped"))
    assert all(row["signals"]["gopher_quality"]["words"] >= 30 for row in kept)
    assert (gone["stage"], gone["reason"], gone["limit"]) == ("gopher_quality", "too_few_words", 30)
    [measured] = rows(context.out, commit, "steps/filter/measured")
    assert measured["signals"]["gopher_quality"]["words"] == gone["value"] == 9
