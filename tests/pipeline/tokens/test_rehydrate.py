import pytest

from pipeline.contract.config import build, resolved
from pipeline.contract.errors import ConfigError
from pipeline.tokens.rehydrate import Rehydrate, weights_from_rates


def test_the_default_is_fineweb2s():
    rehydrate = Rehydrate()
    sizes = [1, 2, 3, 4, 5, 99, 100, 999, 1000, 10**6]
    assert [rehydrate.copies("a", size, 0) for size in sizes] == [1, 2, 3, 3, 5, 5, 8, 8, 1, 1]


def test_fractions_are_drawn_by_id_and_seed():
    rehydrate = Rehydrate(weights={1: 0.25, 2: 2.5})
    names = [f"document {number}" for number in range(4000)]
    once = [rehydrate.copies(name, 1, 7) for name in names]
    assert set(once) == {0, 1}
    assert sum(once) / 4000 == pytest.approx(0.25, abs=0.03)
    twice = [rehydrate.copies(name, 2, 7) for name in names]
    assert set(twice) == {2, 3}
    assert sum(twice) / 4000 == pytest.approx(2.5, abs=0.03)
    assert once == [rehydrate.copies(name, 1, 7) for name in names]
    assert once != [rehydrate.copies(name, 1, 8) for name in names]


def test_who_is_written_at_a_low_weight_is_written_at_a_higher_one():
    low, high = Rehydrate(weights={1: 0.3}), Rehydrate(weights={1: 0.6})
    for number in range(500):
        assert low.copies(str(number), 1, 0) <= high.copies(str(number), 1, 0)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [({2: 1}, "must begin with cluster size 1, got"), ({}, "must begin with cluster size 1"),
     ({0: 1, 1: 1}, "must begin with cluster size 1"), ({1: -0.1}, "weights.1: must be between 0 and 1000, got -0.1"),
     ({1: 1, 5: 1000.5}, "weights.5: must be between 0 and 1000"), ({1: float("nan")}, "weights.1: must be between")],
)  # fmt: skip
def test_impossible_weights(weights, problem):
    with pytest.raises(ValueError, match=problem):
        Rehydrate(weights=weights)
    assert Rehydrate(weights={1: 0, 5: 1000}).copies("a", 5, 0) == 1000


def test_sizes_are_numbers_in_yaml_and_text_in_json():
    config = build(Rehydrate, {"weights": {1: 1, 2: 1.5}}, "c.yaml")
    assert resolved(config) == {"weights": {"1": 1, "2": 1.5}}
    assert build(Rehydrate, resolved(config), "run.json") == config
    with pytest.raises(ConfigError, match=r"weights key: expected a whole number, found \"few\""):
        build(Rehydrate, {"weights": {"few": 1}}, "c.yaml")
    with pytest.raises(ConfigError, match="weights key: expected a whole number"):
        build(Rehydrate, {"weights": {True: 1}}, "c.yaml")


def test_weights_from_rates_of_filtering():
    """The least filtered size has the highest weight; a window of 1 does not smooth."""
    sizes, rates = [1, 2, 3, 4, 10, 50], [0.8, 0.5, 0.2, 0.2, 0.35, 0.9]
    # 1 + 9 * 0.15 / 0.3 for clusters of 10
    assert weights_from_rates(sizes, rates, 0.5, max_weight=10, window=1) == {1: 1, 3: 10, 10: 6, 50: 1}
    # The middle two become the mean of five weights, 5.5; numpy rounds it to the even 6, and the edge's 5.5, too.
    assert weights_from_rates(sizes, rates, 0.5, max_weight=10) == {1: 1, 3: 6, 50: 1}
    assert weights_from_rates([1, 2], [0.5, 0.6], 0.5) == {1: 1}
    with pytest.raises(ValueError, match="must ascend from 1"):
        weights_from_rates([2, 3], [0.1, 0.2], 0.5)
    with pytest.raises(ValueError, match="must be as many as the 2 sizes, got 1"):
        weights_from_rates([1, 2], [0.1], 0.5)
