"""Labels: shares of blocks from gold texts, phrases and the agreement of extractors."""

from pipeline.extractor import labels
from pipeline.extractor.parsed_page import parse

MENU = "<ul><li>Home<li>About<li>Contact us today</ul>"
STORY = "The mill at the river has ground the grain of three villages for two hundred years."
MORE = "It still does, and on Sundays the miller shows the old wheel to visitors from the town."
PAGE = parse(f"<nav>{MENU}</nav><h1>The mill</h1><p>{STORY}<p>Open daily<p>{MORE}<footer><p>Contact us today".encode())
TEXTS = [PAGE.text_of(number) for number in range(len(PAGE.blocks))]


def test_gold_text_marks_long_blocks_by_their_runs_and_short_ones_by_their_place() -> None:
    assert TEXTS == ["Home", "About", "Contact us today", "The mill", STORY, "Open daily", MORE, "Contact us today"]
    shares = labels.from_gold(PAGE, f"The mill\n{STORY}\nOpen daily\n{MORE}")
    assert shares.tolist() == [0, 0, 0, 1, 1, 1, 1, 0]


def test_half_of_a_block_counts_as_half() -> None:
    page = parse(b"<p>one two three four five six seven eight nine ten")
    assert labels.from_gold(page, "one two three four five")[0] == 0.5


def test_a_page_of_another_text_has_no_share() -> None:
    assert labels.from_gold(PAGE, "Something else was written on this page, and at some length.").sum() == 0
    assert labels.from_gold(PAGE, "").sum() == 0


def test_phrases_mark_what_they_stand_in_and_leave_the_rest() -> None:
    shares = labels.from_phrases(PAGE, ["ground the grain", "no such phrase"], ["contact us"])
    assert shares.tolist() == [-1, -1, 0, -1, 1, -1, -1, 0]
    assert labels.from_phrases(PAGE, ["the mill"], ["the mill at"])[4] == labels.UNKNOWN


def test_extractors_that_disagree_leave_a_block_unknown() -> None:
    shares = labels.from_agreement(PAGE, [f"{STORY}\n{MORE}", STORY])
    assert shares.tolist() == [0, 0, 0, 0, 1, 0, -1, 0]
    assert (labels.from_agreement(PAGE, []) == labels.UNKNOWN).all()
