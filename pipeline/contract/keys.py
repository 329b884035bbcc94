"""Keys as they are written on the command line, `a.b.c=value`, and where they lead in a config.

    key  = part ("." part | "[" number "]")*
    part = characters other than . [ ] = and quotes, or a quoted name: "cookies.CookieFilter"

A list is entered by position (`filter[2]`, `filter.2`) or, where its items are stages, by name. A stage's name may have
dots without being quoted: the longest name that the list holds is taken. After a position the name of the stage may be
given or left out: `filter[2].c4.min_sentences` is `filter[2].min_sentences`, so a key can be copied from an error.
"""

import copy
import re
from collections.abc import Sequence
from typing import Any

from pipeline.contract.errors import ConfigError, nearest
from pipeline.contract.yaml_text import Tree, kind_of, parse_yaml

_PART = re.compile(r"""(?:^|(?<=.)\.)(?:"([^"]+)"|'([^']+)'|([^.\[\]="']+))|\.?\[\s*([0-9]+)\s*\]""")
_EXAMPLE = "example: --set run.workers=2 or --set 'filter[2].min_words=30'"


def split_assignment(text: str) -> tuple[list[str], str]:
    """The parts of the key and the value of `key=value`; the value may be empty.

    Raises:
        ValueError: there is no `=`, or the key before it is none.
    """
    parts: list[str] = []
    text = text.strip()
    at = 0
    while found := _PART.match(text, at):
        parts.append(next(group for group in found.groups() if group is not None).strip())
        at = found.end()
    rest = text[at:].lstrip()
    if not parts or not all(parts) or not rest.startswith("="):
        raise ValueError("expected KEY.SUBKEY=VALUE")
    return parts, rest[1:]


def apply_overrides(tree: Tree, overrides: Sequence[str]) -> Tree:
    """A copy of `tree` with each `key=value` of the command line set, in order; values are YAML.

    Raises:
        ConfigError: an override without `=`, or a key that enters something that is no mapping or list.
    """
    tree = copy.deepcopy(tree)
    for override in overrides:
        place = f"--set {override}"
        try:
            keys, raw = split_assignment(override)
        except ValueError as error:
            raise ConfigError(place, str(error), hint=_EXAMPLE) from error
        _Path(keys, place).set(tree, parse_yaml(raw, place))
    return tree


def item_of(items: Sequence[str], keys: Sequence[str]) -> tuple[int, int]:
    """Which of a list of named items the first of `keys` name, and how many of the keys that takes.

    Args:
        items: the names of the items, in order.
        keys: of which the first one or more are a position or a name.

    Raises:
        KeyError: none of them.
        LookupError: the name stands in the list more than once; its arguments are a message and the first position.
    """
    if keys[0].isdecimal() and int(keys[0]) < len(items):
        index = int(keys[0])
        return index, 1 + _length_of_name(items[index], keys[1:])
    for name in sorted(set(items), key=len, reverse=True):
        if length := _length_of_name(name, keys):
            found = [index for index, item in enumerate(items) if item == name]
            if len(found) > 1:
                raise LookupError(
                    f"'{name}' stands in it {len(found)} times, at {', '.join(map(str, found))}", found[0]
                )
            return found[0], length
    raise KeyError(keys[0])


def _length_of_name(name: str, keys: Sequence[str]) -> int:
    """How many of the first keys make up `name`, which may have dots; 0: they do not."""
    for length in range(1, min(len(keys), name.count(".") + 1) + 1):
        if ".".join(keys[:length]) == name:
            return length
    return 0


class _Path:
    """One key, followed from the top of a config."""

    def __init__(self, keys: Sequence[str], place: str) -> None:
        self._keys, self._place = list(keys), place

    def set(self, tree: Tree, value: Any) -> None:
        """Set what the key leads to; mappings that are not there are made."""
        node: Any = tree
        depth = 0
        while depth < len(self._keys):
            if isinstance(node, list):
                index, length = self._item(node, depth)
                named = length > 1 or not self._keys[depth].isdecimal()
                depth += length
                if depth == len(self._keys):
                    _set_item(node, index, value, named=named)
                    return
                node = _enter_item(node, index)
            elif isinstance(node, dict):
                key = self._keys[depth]
                depth += 1
                if depth == len(self._keys):
                    node[key] = value
                    return
                if node.get(key) is None:
                    node[key] = {}
                node = node[key]
            else:
                here = self._here(depth)
                raise ConfigError(self._place, f"'{here}' is {kind_of(node)}, so it has no key '{self._keys[depth]}'")

    def _item(self, node: list[Any], depth: int) -> tuple[int, int]:
        names = [_name_of(item) for item in node]
        here = self._here(depth)
        try:
            return item_of(names, self._keys[depth:])
        except KeyError:
            known = [name or f"[{index}]" for index, name in enumerate(names)]
            hint = nearest(self._keys[depth], known) or nearest(".".join(self._keys[depth : depth + 2]), known)
            raise ConfigError(self._place, f"'{here}' has no item '{self._keys[depth]}'", known=known,
                              hint=hint) from None  # fmt: skip
        except LookupError as error:
            problem, first = error.args
            raise ConfigError(self._place, f"'{here}': {problem}", hint=f"give the position: {here}[{first}]") from None

    def _here(self, depth: int) -> str:
        return ".".join(self._keys[:depth]) or "the top"


def _name_of(item: Any) -> str:
    """The name of a stage in a list, bare or with its settings; empty for any other item."""
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and len(item) == 1:
        [(name, fields)] = item.items()
        return name if isinstance(name, str) and (fields is None or isinstance(fields, dict)) else ""
    return ""


def _set_item(items: list[Any], index: int, value: Any, *, named: bool) -> None:
    """Where a key ends at an item: after a name the value is that stage's settings; null turns a stage off."""
    name = _name_of(items[index])
    items[index] = {name: value} if name and (named or value is None) else value


def _enter_item(items: list[Any], index: int) -> Any:
    """The settings of a stage in a list, made where it has none (so a stage that is off comes on); or another item."""
    item, name = items[index], _name_of(items[index])
    if not name:
        return item
    items[index] = {name: (item[name] if isinstance(item, dict) else None) or {}}
    return items[index][name]
