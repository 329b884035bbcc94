"""The stage that drops exact copies, and where it may stand."""

import pytest

from pipeline.document import Drop
from pipeline.stages.main_text import MainText
from pipeline.stages.payload_digest import PayloadDigest, refuse_misplaced
from pipeline.stages.url_filter import UrlFilter

ADDRESS, DIGEST, TEXT = UrlFilter(shipped_lists=False), PayloadDigest(), MainText()


def test_a_copy_is_dropped_for_the_page_that_goes_on(make_doc):
    page, copy = make_doc("text"), make_doc("text").replace(copy_of="first")
    assert DIGEST(page) is page
    assert DIGEST(copy) == Drop("copy", detail="first")


def test_it_stands_once_after_address_rules_and_before_everything_else():
    refuse_misplaced([ADDRESS, DIGEST, TEXT], [])
    refuse_misplaced([TEXT, ADDRESS], [])  # none of it
    for extract, elsewhere, message in (
        ([DIGEST, DIGEST], [], "stands twice"), ([], [DIGEST], "can only stand in `extract`"),
        ([TEXT, DIGEST], [], "put main_text behind it"), ([DIGEST, ADDRESS], [], "put url_filter before it"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            refuse_misplaced(extract, elsewhere)
