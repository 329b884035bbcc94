import dataclasses

import pytest

from pipeline.dedup.config import DedupConfig
from pipeline.dedup.plan import partitions_for, plan

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
    assert found.components == "stars"
    assert plan(300_000_000, CONFIG, 12 << 30).components == "union-find"


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
