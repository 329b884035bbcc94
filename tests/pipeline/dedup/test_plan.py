import dataclasses

import pytest

from pipeline.dedup.config import DedupConfig, MinHashConfig
from pipeline.dedup.minhash import found_probability
from pipeline.dedup.plan import errors, partitions_for, plan, suggest
from pipeline.dedup.s_curve import draw

CONFIG = DedupConfig()


def test_a_dump_fits_the_design():
    found = plan(300_000_000, CONFIG, 1 << 30)
    assert found.threshold == pytest.approx(0.719, abs=0.001)
    assert dict(found.s_curve)[0.8] == pytest.approx(0.92, abs=0.005)
    band_rows = 300_000_000 * 14 * 12
    assert band_rows == 50_400_000_000  # the design's 5 * 10^10 bytes
    assert found.signature_bytes == band_rows + 300_000_000 * (20 + 8 + 112)
    assert found.partitions == 501
    assert found.partition_memory <= 1 << 30
    assert found.components == "on disk"
    assert plan(300_000_000, CONFIG, 12 << 30).components == "in memory"


def test_exact_dedup_alone_has_no_curve():
    found = plan(1000, dataclasses.replace(CONFIG, minhash=None), 1 << 30)
    assert (found.threshold, found.s_curve, found.partitions) == (None, (), 1)
    assert found.signature_bytes == 1000 * 28


def test_nothing_needs_one_partition():
    assert plan(0, CONFIG, 1).partitions == 1
    assert partitions_for(0, 1) == 1


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="documents: must be at least 0, got -1"):
        plan(-1, CONFIG, 1)
    with pytest.raises(ValueError, match="budget: must be above 0, got 0"):
        plan(1, CONFIG, 0)


def test_cpu_hours_are_those_measured():
    assert plan(3_600_000, CONFIG, 1 << 30).cpu_hours == pytest.approx(0.354)  # 112 hashes
    exact = dataclasses.replace(CONFIG, minhash=None)
    assert plan(3_600_000, exact, 1 << 30).cpu_hours == pytest.approx(0.27)


def test_the_errors_of_a_choice_are_areas():
    # One band of one row finds a pair of similarity s with probability s: two triangles.
    wrong = errors(0.5, 1, 1)
    assert wrong.false_positives == pytest.approx(0.125, abs=1e-6)
    assert wrong.false_negatives == pytest.approx(0.125, abs=1e-6)
    wrong = errors(0.75, 1, 1)
    assert (wrong.false_positives, wrong.false_negatives) == pytest.approx((0.75**2 / 2, 0.25**2 / 2), abs=1e-6)


@pytest.mark.parametrize(
    ("threshold", "recall", "hashes"),
    [(0.75, 0.9, 112), (0.75, 0.77, 112), (0.5, 0.99, 128), (0.9, 0.5, 64), (0.05, 0.9, 4096), (0.75, 0.7, 1)],
)
def test_a_suggestion_finds_what_is_asked_with_the_least_below_the_threshold(threshold, recall, hashes):
    found = suggest(threshold, hashes, recall)
    assert found.found >= recall
    assert found.found == found_probability(threshold, MinHashConfig(bands=found.bands, rows=found.rows))
    assert found.bands * found.rows <= hashes
    shapes = [(b, r) for r in range(1, min(hashes, 40) + 1) for b in range(1, hashes // r + 1)]
    others = [errors(threshold, *shape) for shape in shapes if 1 - (1 - threshold ** shape[1]) ** shape[0] >= recall]
    assert found.false_positives <= min(other.false_positives for other in others) + 1e-9


def test_more_recall_costs_more_candidates_below_the_threshold():
    some, more = (suggest(0.75, 112, recall) for recall in (0.8, 0.95))
    assert some.found < more.found
    assert some.false_positives < more.false_positives


@pytest.mark.parametrize(
    ("threshold", "hashes", "recall", "message"),
    [
        (0.0, 112, 0.9, "threshold: must be above 0 and below 1, got 0.0"),
        (1.0, 112, 0.9, "threshold: must be above 0 and below 1, got 1.0"),
        (0.5, 0, 0.9, "hashes: must be 1 to 4096, got 0"),
        (0.5, 4097, 0.9, "hashes: must be 1 to 4096, got 4097"),
        (0.5, 112, 1.0, "recall: must be above 0 and below 1, got 1.0"),
        (0.5, 112, 0.0, "recall: must be above 0 and below 1, got 0.0"),
        (0.5, 3, 0.9, "no bands and rows of at most 3 hashes find 0.9 of the pairs at 0.5; 4 hashes can"),
    ],
)
def test_suggestions_that_cannot_be_made(threshold, hashes, recall, message):
    with pytest.raises(ValueError, match=message):
        suggest(threshold, hashes, recall)


def test_a_curve_is_drawn_from_corner_to_corner():
    lines = draw([MinHashConfig(bands=1, rows=1)], threshold=0.5)
    assert len(lines) == 12
    assert lines[0] == "1.0 " + " " * 30 + "|" + " " * 27 + "***"  # P(found) = s: a straight line
    assert lines[5].index("*") == 4 + 28
    assert lines[10].startswith("0.0 ***") and lines[10].index("|") == 4 + 30
    assert lines[11].split() == [f"{tenth / 10:.1f}" for tenth in range(11)]
