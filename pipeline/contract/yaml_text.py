"""YAML as configs are written in it: refused where YAML itself would guess or let a mistake pass."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.contract.errors import ConfigError

Tree = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what YAML lets pass in silence: a key given twice, a key without a value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *other`: the keys beside it win
                continue
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            line = key_node.start_mark.line + 1
            if isinstance(value_node, yaml.ScalarNode) and value_node.value == "" and value_node.style is None:
                problem = f"key '{key}' has no value (line {line}): write {{}} for the defaults, null to turn it off"
                raise yaml.constructor.ConstructorError(None, None, problem)
            if isinstance(key, (str, int, float, bool)) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice (line {line})")
            if isinstance(key, (str, int, float, bool)):
                seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: str | Path) -> Tree:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is not UTF-8, is not YAML, or holds no mapping.
    """
    place = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(place, f"cannot read the config: {reason}") from error
    tree = parse_yaml(text, place)
    if not isinstance(tree, dict):
        raise ConfigError(place, f"expected a mapping of keys at the top, found {kind_of(tree)}")
    return tree


def parse_yaml(text: str, place: str) -> Any:
    """What a YAML text says.

    Raises:
        ConfigError: it is not YAML, or gives a key twice or without a value.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except Exception as error:
        raise ConfigError(place, f"not valid YAML: {' '.join(str(error).split())}") from error


def kind_of(value: Any) -> str:
    """What a value of a YAML file is, for messages."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", int: "a whole number",
             float: "a number", type(None): "nothing (null)"}  # fmt: skip
    return names.get(type(value), type(value).__name__)
