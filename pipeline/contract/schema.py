"""JSON schema (draft 2020-12) of a config class, for editors that complete and check YAML.

It says what the loader says: the keys, their documentation, defaults, types, and of numbers whether they may be below 0
or above 1 (the class is asked). What depends on several keys at once, or on files, is left to the loader.
"""

import contextlib
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pipeline.contract.config import Registry, Variants, field_docs, keys_of, resolved

Schema = dict[str, Any]
_NULL: Schema = {"type": "null"}
_SCALARS: Mapping[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    # YAML 1.1 reads 3e-4 as text, which the loader takes for the number it is.
    float: {"type": ["number", "string"], "pattern": r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"},
    str: {"type": "string"},
}
_OWN_NAME = r"^[^\W\d]\w*(\.[^\W\d]\w*)+$"
"""The dotted name of a class of the user's own."""


def json_schema(cls: type, variants: Variants | None = None, *, title: str | None = None) -> Schema:
    """The schema of the config class `cls`; strict, as the loader is."""
    writer = _Writer(variants or {})
    schema = writer.schema(cls)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", **({"title": title} if title else {})}
    return {**head, **schema, **({"$defs": writer.definitions} if writer.definitions else {})}


class _Writer:
    """Writes schemas; variants are written once, in `definitions`, and referred to."""

    def __init__(self, variants: Variants) -> None:
        self._variants = variants
        self.definitions: Schema = {}

    def schema(self, hint: Any) -> Schema:
        """Of a type hint."""
        origin, args = get_origin(hint), get_args(hint)
        if hint is Any:
            return {}
        if origin in (Union, types.UnionType):
            return {"anyOf": [_NULL if arg is type(None) else self.schema(arg) for arg in args]}
        if origin is Literal:
            return {"enum": list(args)}
        if origin in (list, tuple, Sequence):
            return {"type": "array", "items": self.schema(args[0])}
        if origin in (dict, Mapping):
            keys = {"propertyNames": {"pattern": "^[0-9]+$"}} if args[0] is int else {}
            return {"type": "object", **keys, "additionalProperties": self.schema(args[1])}
        if hint in self._variants:
            return self._variant(hint, self._variants[hint])
        if dataclasses.is_dataclass(hint):
            return self._object(typing.cast(type, hint))
        return dict(_SCALARS[hint])

    def _variant(self, hint: type, registry: Registry) -> Schema:
        """One name with its settings, or a bare name; null turns it off."""
        name = hint.__name__.lower()
        if name not in self.definitions:
            self.definitions[name] = {}  # its place, before those of the classes
            classes = {one: registry.load(one) for one in registry.names()}
            self.definitions |= {one: self._object(cls) for one, cls in classes.items()}
            properties = {
                one: {"anyOf": [_reference(one), _NULL], "description": _summary(cls)} for one, cls in classes.items()
            }
            mapping = {
                "type": "object", "minProperties": 1, "maxProperties": 1, "properties": properties,
                "patternProperties": {_OWN_NAME: {"type": ["object", "null"]}}, "additionalProperties": False,
            }  # fmt: skip
            bare = [one for one in classes if not self.definitions[one]["required"]]
            own = {"type": "string", "pattern": _OWN_NAME}
            self.definitions[name] = {"anyOf": [mapping, {"enum": bare}, own], "description": _summary(hint)}
        return _reference(name)

    def _object(self, cls: type) -> Schema:
        docs, properties, required = field_docs(cls), {}, []
        example = _Example(cls)
        for key in keys_of(cls).values():
            entry = _bounded(self.schema(key.hint), functools.partial(example.accepts, key.field.name))
            if key.required:
                required.append(key.name)
            else:
                entry["default"] = resolved(key.default, self._variants)
            description = _summary(get_args(key.hint)[0]) if key.flattened else docs.get(key.field.name)
            if description:
                entry["description"] = description
            properties[key.name] = entry
        if "languages" in properties and hasattr(cls, "RULES"):
            limits = {rule.limit: _without_default(properties[rule.limit]) for rule in cls.RULES}
            properties["languages"]["additionalProperties"] = {
                "type": "object", "properties": limits, "additionalProperties": False,
            }  # fmt: skip
        return {"type": "object", "description": _summary(cls), "properties": properties, "required": required,
                "additionalProperties": False}  # fmt: skip


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").strip().split("\n")[0]


def _without_default(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "default"}


class _Example:
    """An instance of a class with its defaults; None where some field has none."""

    def __init__(self, cls: type) -> None:
        self._example: Any = None
        with contextlib.suppress(TypeError, ValueError):
            self._example = cls()

    def accepts(self, field: str, value: Any) -> bool:
        """Whether the class takes a value of a field, the others at their defaults; always, where that is not known."""
        try:
            return self._example is None or dataclasses.replace(self._example, **{field: value}) is not None
        except ValueError:
            return False


def _bounded(schema: Schema, accepts: Callable[[Any], bool]) -> Schema:
    """The schema of a number, or of a number among others, with its bounds at 0 and 1."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [_bounded(one, accepts) for one in schema["anyOf"]]}
    kind = schema.get("type")
    if kind == _SCALARS[int]["type"] or kind == _SCALARS[float]["type"]:
        return {**schema, **_bounds(accepts, whole=kind == "integer")}
    return dict(schema)


def _bounds(accepts: Callable[[Any], bool], *, whole: bool) -> Schema:
    """Bounds at 0 and 1, where others are those of other fields as well (a minimum below its maximum)."""
    little = 1 if whole else 1e-9
    found: Schema = {}
    if not accepts(-little):
        if accepts(0):
            found["minimum"] = 0
        elif accepts(little):
            found |= {"minimum": 1} if whole else {"exclusiveMinimum": 0}
    if not whole and not accepts(1 + little):
        if accepts(1):
            found["maximum"] = 1
        elif accepts(1 - little):
            found["exclusiveMaximum"] = 1
    return found
