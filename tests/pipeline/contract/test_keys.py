"""Keys of the command line lead to mappings, positions and stages, whatever the names of those are."""

import pytest

from pipeline.contract.errors import ConfigError
from pipeline.contract.keys import apply_overrides, split_assignment


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("run.workers=2", ["run", "workers"], "2"),
        (" filter.c4.x = [1, 2] ", ["filter", "c4", "x"], " [1, 2]"),
        ("filter[2].max_cookies=1", ["filter", "2", "max_cookies"], "1"),
        ("filter.2.max_cookies=", ["filter", "2", "max_cookies"], ""),
        ('filter."cookies.CookieFilter".max=1', ["filter", "cookies.CookieFilter", "max"], "1"),
        ("filter['a=b.C'].max=x=y", None, None),
        ("filter.'a=b.C'.max=x=y", ["filter", "a=b.C", "max"], "x=y"),
        ("a[0][1]=3", ["a", "0", "1"], "3"),
        ("rate", None, None),
        ("=1", None, None),
        ("a..b=1", None, None),
        ("a.=1", None, None),
        (".a=1", None, None),
        ("a[b]=1", None, None),
        ("a b.c=1", ["a b", "c"], "1"),
    ],
)
def test_a_key_has_parts_positions_and_quoted_names(text, keys, value):
    if keys is None:
        with pytest.raises(ValueError, match=r"KEY\.SUBKEY=VALUE"):
            split_assignment(text)
    else:
        assert split_assignment(text) == (keys, value)


def test_overrides_enter_mappings_and_lists_by_name():
    tree = {"path": "x", "shapes": ["circle", {"square": None}]}
    changed = apply_overrides(tree, ["inner.size=5", "shapes.circle.radius=3", "shapes.square.side=2", "limit=null"])
    assert changed == {"path": "x", "inner": {"size": 5}, "limit": None,
                       "shapes": [{"circle": {"radius": 3}}, {"square": {"side": 2}}]}  # fmt: skip
    assert tree == {"path": "x", "shapes": ["circle", {"square": None}]}


@pytest.mark.parametrize(
    "key",
    [
        "filter.cookies.CookieFilter.max_cookies",
        'filter."cookies.CookieFilter".max_cookies',
        "filter[1].max_cookies",
        "filter.1.max_cookies",
        "filter[1].cookies.CookieFilter.max_cookies",
        'filter[1]."cookies.CookieFilter".max_cookies',
    ],
)
def test_a_stage_with_a_dotted_name_is_addressed_like_any_other(key):
    tree = {"filter": ["c4", {"cookies.CookieFilter": {"max_cookies": 5}}]}
    assert apply_overrides(tree, [f"{key}=1"]) == {"filter": ["c4", {"cookies.CookieFilter": {"max_cookies": 1}}]}


def test_of_two_names_the_longer_one_is_meant():
    tree = {"filter": [{"a": {}}, {"a.b": {}}]}
    assert apply_overrides(tree, ["filter.a.b.x=1", "filter.a.x=2"]) == {"filter": [{"a": {"x": 2}}, {"a.b": {"x": 1}}]}


@pytest.mark.parametrize("key", ["shapes.circle", "shapes[0]", "shapes.0", "shapes[0].circle"])
def test_an_override_can_turn_a_listed_stage_off(key):
    assert apply_overrides({"shapes": [{"circle": {"radius": 2}}]}, [f"{key}=null"]) == {"shapes": [{"circle": None}]}


def test_a_position_replaces_the_item_and_a_name_its_settings():
    tree = {"shapes": ["circle", {"square": {"side": 1}}], "paths": ["a", "b"]}
    assert apply_overrides(tree, ["shapes[0]={square: {side: 3}}", "shapes.1.square={side: 2}", "paths[1]=c"]) == {
        "shapes": [{"square": {"side": 3}}, {"square": {"side": 2}}],
        "paths": ["a", "c"],
    }


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("rate", "expected KEY.SUBKEY=VALUE\n  example: --set run.workers=2"),
        ("=1", "expected KEY.SUBKEY=VALUE"),
        ("shapes.square.x=1", "'shapes' has no item 'square'\n  known: circle, a.B, d, d$"),
        ("shapes.a.C.x=1", "'shapes' has no item 'a'\n  known: circle, a.B, d, d\n  did you mean"),
        ("shapes[4].x=1", "'shapes' has no item '4'"),
        ("shapes.d.x=1", r"'shapes': 'd' stands in it 2 times, at 2, 3\n  give the position: shapes\[2\]"),
        ("path.a=1", "'path' is text, so it has no key 'a'"),
        ("rate=[1", "not valid YAML"),
    ],
)
def test_overrides_that_cannot_be_set(override, problem):
    with pytest.raises(ConfigError) as caught:
        apply_overrides({"path": "x", "shapes": ["circle", {"a.B": None}, "d", {"d": {"x": 1}}]}, [override])
    caught.match(problem)
