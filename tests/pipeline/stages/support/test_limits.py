"""Rules as data: on both sides of each limit, for one language and for all."""

import pytest

from pipeline.document import Drop
from pipeline.stages.gopher_quality import GopherQuality
from pipeline.stages.support.limits import (
    Rule,
    check_languages,
    first_broken,
    limit_of,
    refuse_crossed,
    refuse_negative,
    share,
)

RULES = (Rule("words", "at least", "min_words", "too_few_words"), Rule("words", "at most", "max_words", "too_many"))


def stage(**fields):
    return GopherQuality(**{"min_words": 50, "max_words": 100, **fields})


@pytest.mark.parametrize(("words", "reason"), [(49, "too_few_words"), (50, None), (100, None), (101, "too_many")])
def test_a_value_on_its_limit_passes(words, reason):
    found = first_broken(stage(), RULES, {"words": words})
    assert (found and found.reason) == reason


def test_null_is_off_and_a_language_has_its_own_limit():
    german = stage(languages={"de": {"min_words": 10, "max_words": None}})
    assert first_broken(german, RULES, {"words": 9}, "de") == Drop("too_few_words", value=9, limit=10)
    assert first_broken(german, RULES, {"words": 10_000}, "de") is None
    assert first_broken(german, RULES, {"words": 10}, "fr").reason == "too_few_words"
    assert first_broken(stage(min_words=None), RULES, {"words": 0}) is None
    assert (limit_of(german, "min_words", "de"), limit_of(german, "max_words", "de")) == (10, None)
    assert limit_of(german, "min_words") == 50


def test_what_a_language_says_is_checked_like_the_stage():
    with pytest.raises(ValueError, match=r"languages\.de: unknown limit 'min_word'; did you mean 'min_words'\?"):
        check_languages(stage_with({"de": {"min_word": 1}}))
    with pytest.raises(ValueError, match=r"languages\.de\."):
        check_languages(stage_with({"de": {"min_words": -1}}))


def stage_with(languages):
    """A stage whose languages are checked by hand, since its own `__post_init__` would refuse them."""
    made = stage()
    object.__setattr__(made, "languages", languages)
    return made


def test_negative_and_crossed_limits_are_refused():
    made = stage()
    refuse_negative(made)
    refuse_crossed(made, "min_words", "max_words")
    object.__setattr__(made, "min_words", 101)
    with pytest.raises(ValueError, match=r"min_words: must be at most max_words \(100\), got 101"):
        refuse_crossed(made, "min_words", "max_words")
    object.__setattr__(made, "min_words", -1)
    with pytest.raises(ValueError, match="min_words: must be a number of at least 0, got -1"):
        refuse_negative(made)


def test_nothing_has_no_share_of_nothing():
    assert (share(1, 4), share(0, 4), share(3, 0)) == (0.25, 0.0, 0.0)
