import numpy as np
import pyarrow as pa
import pytest

from pipeline.contract.config import build, resolved
from pipeline.contract.errors import ConfigError
from pipeline.dedup.config import BestSignal, DedupConfig
from pipeline.dedup.keep import check_keep, keep_columns, keep_orders, order_by_signal

SIGNALS = pa.struct(
    [
        ("gopher_quality", pa.struct([("words", pa.float64()), ("stop_words", pa.float64())])),
        ("fineweb", pa.struct([("short_lines", pa.float64())])),
    ]
)
NONE = pa.struct([("none", pa.float64())])


def rows(values):
    signals = [None if value == "none" else {"gopher_quality": {"words": value}} for value in values]
    return pa.table({"signals": pa.array(signals, SIGNALS)})


def test_the_highest_signal_comes_first_and_none_last():
    values = [float("inf"), 1e300, 2.0, 1.0, 5e-324, 0.0, -5e-324, -1.0, float("-inf"), float("nan")]
    orders = order_by_signal(np.array(values)).tolist()
    assert orders == sorted(set(orders))
    assert orders[0] > 0  # 0 is for documents of earlier runs
    assert orders[-1] == 2**64 - 1
    assert order_by_signal(np.array([0.0])) == order_by_signal(np.array([-0.0]))


def test_a_document_without_the_signal_loses():
    keep = BestSignal(best_signal="gopher_quality.words")
    orders = keep_orders(keep, rows([3.0, None, -7.0, "none", float("nan")])).tolist()
    assert np.argsort(orders, kind="stable").tolist() == [0, 2, 1, 3, 4]
    assert orders[1] == orders[3] == orders[4] == 2**64 - 1
    assert keep_columns(keep) == ["signals.gopher_quality.words"]


def test_the_longest_counts_characters():
    orders = keep_orders("longest", pa.table({"text": ["aaa", "üü", "", "日本語で"]})).tolist()
    assert [2**64 - 1 - order for order in orders] == [3, 2, 0, 4]


def test_a_signal_that_no_stage_stores_is_refused_with_those_that_are():
    check_keep("earliest", NONE)
    check_keep(BestSignal(best_signal="fineweb.short_lines"), SIGNALS)
    with pytest.raises(ConfigError) as caught:
        check_keep(BestSignal(best_signal="gopher_quality.word"), SIGNALS)
    assert caught.value.place == "dedup.keep.best_signal"
    assert caught.value.known == ("gopher_quality.words", "gopher_quality.stop_words", "fineweb.short_lines")
    assert caught.value.hint == "did you mean 'gopher_quality.words'?"
    with pytest.raises(ConfigError, match="add the quality stage"):
        check_keep(BestSignal(best_signal="gopher_quality.words"), NONE)


def test_how_it_is_written():
    config = build(DedupConfig, {"keep": {"best_signal": "quality_classifier.score"}}, "c.yaml")
    assert config.keep == BestSignal(best_signal="quality_classifier.score")
    assert build(DedupConfig, resolved(config), "run.json") == config
    for wrong in ("words", ".words", "gopher_quality.", ""):
        with pytest.raises(ConfigError, match=r"c.yaml: keep: best_signal: must be STAGE.SIGNAL"):
            build(DedupConfig, {"keep": {"best_signal": wrong}}, "c.yaml")
    with pytest.raises(ConfigError, match="expected one of earliest, longest"):
        build(DedupConfig, {"keep": "latest"}, "c.yaml")
    with pytest.raises(ConfigError, match="unknown field 'best'"):
        build(DedupConfig, {"keep": {"best": "a.b"}}, "c.yaml")
