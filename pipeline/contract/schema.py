"""JSON schema (draft 2020-12) of a config class, for editors that complete and check YAML."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pipeline.contract.config import Variants, field_docs, hints, key_of, resolved

_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def json_schema(cls: type, variants: Variants | None = None) -> dict[str, Any]:
    """The schema of the config class `cls`; strict, as the loader is."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_schema(cls, variants or {})}


def _schema(hint: Any, variants: Variants) -> dict[str, Any]:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if arg is type(None) else _schema(arg, variants) for arg in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": _schema(args[0], variants)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(args[1], variants)}
    if hint in variants:
        registry = variants[hint]
        one = [
            {"type": "object", "required": [name], "additionalProperties": False,
             "properties": {name: {"anyOf": [_schema(registry.load(name), variants), {"type": "null"}]}}}
            for name in registry.names()
        ]  # fmt: skip
        return {"anyOf": [*one, {"type": "string"}]}
    if dataclasses.is_dataclass(hint):
        return _object(typing.cast(type, hint), variants)
    return {"type": _SCALARS[hint]}


def _object(cls: type, variants: Variants) -> dict[str, Any]:
    docs, annotations, properties, required = field_docs(cls), hints(cls), {}, []
    for field in dataclasses.fields(cls):
        if not field.init or field.name.startswith("_"):
            continue
        entry = _schema(annotations[field.name], variants)
        if field.name in docs:
            entry["description"] = docs[field.name]
        if field.default is not dataclasses.MISSING:
            entry["default"] = resolved(field.default, variants)
        elif field.default_factory is dataclasses.MISSING:
            required.append(key_of(field))
        properties[key_of(field)] = entry
    summary = (cls.__doc__ or "").strip().split("\n")[0]
    return {"type": "object", "description": summary, "properties": properties, "required": required,
            "additionalProperties": False}  # fmt: skip
