"""YAML into frozen dataclasses, strictly.

A config class is a frozen, keyword-only dataclass; a string literal under a field is its documentation; a
`ValueError` from `__post_init__` is an impossible value; a class attribute `UNKNOWN_FIELD` is the hint for a key that
is no field (`{}` stands for the key). Whatever does not fit is a ConfigError that names the full path of the key, what
was expected and the nearest valid name.

A field typed with a *variant* (a class given in `variants`, such as Stage) is written in YAML as a one-key mapping
`name: {fields}` or a bare `name`; a Registry turns the name into the dataclass. In a list of them `name: null` is off.
"""

import ast
import dataclasses
import functools
import hashlib
import inspect
import itertools
import json
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, Union, get_args, get_origin

from pipeline.contract.errors import ConfigError, nearest
from pipeline.contract.yaml_text import kind_of

T = TypeVar("T")
FLATTEN = "flatten"
"""Key in the metadata of a field whose items are keys of the section itself: a function that gives the class of each
item by name, all of them optional. The field is a mapping of names to instances; a name that it lacks is null."""
Variants = Mapping[type, "Registry"]


class Registry(Protocol):
    """The classes a variant field may name."""

    def names(self) -> list[str]:
        """Every name that may stand in a config, sorted."""

    def load(self, name: str) -> type:
        """The dataclass called `name`; raises KeyError for an unknown name, ConfigError where loading it fails."""

    def name_of(self, cls: type) -> str:
        """The inverse of `load`."""


def build(cls: type[T], tree: Any, where: str, variants: Variants | None = None) -> T:
    """`tree` as an instance of the config class `cls`; `where` starts every error (usually the file's name).

    Raises:
        ConfigError: anything in `tree` that `cls` does not allow.
    """
    return typing.cast(T, _value(cls, tree, where, "", variants or {}))


def resolved(config: Any, variants: Variants | None = None) -> Any:
    """`config` as plain dicts, lists and scalars with every default written out; `build` reads it back."""
    return _resolved(config, Any, variants or {})


def _resolved(value: Any, hint: Any, variants: Variants) -> Any:
    """`value` as plain data; `hint` tells whether it is written as a variant, with its name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {key.name: _resolved(key.value_in(value), key.hint, variants) for key in keys_of(type(value)).values()}
        registry = next((variants[part] for part in (hint, *get_args(hint)) if part in variants), None)
        return {registry.name_of(type(value)): fields} if registry else fields
    if isinstance(value, Mapping):
        # JSON has no numbers as keys: written as text, they are the same from a file and from run.json.
        return {str(key): _resolved(item, Any, variants) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_resolved(item, hint, variants) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and float in (kinds := (hint, *get_args(hint))):
        # A default written as 3 in a field of floats must read the same as 3.0 from a file.
        return value if int in kinds else float(value)
    return value


def fingerprint(tree: Any) -> str:
    """SHA-256 (hex) of a resolved config, equal for equal content whatever the order of its keys."""
    text = json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Every key whose value differs between two resolved configs, as `path: old -> new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        places = {key: f"{path}.{key}" if path else key for key in keys}
        return [line for key in keys for line in differences(old.get(key), new.get(key), places[key])]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = zip(old, new, strict=True)
        return [line for i, (a, b) in enumerate(pairs) for line in differences(a, b, f"{path}[{i}]")]
    return [] if old == new else [f"{path}: {json.dumps(old)} -> {json.dumps(new)}"]


@functools.cache
def field_docs(cls: type) -> dict[str, str]:
    """The string literal that stands under each field of a dataclass, by field name."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError):  # no source: a class made at run time
            continue
        statements = getattr(body, "body", [])
        for field, doc in itertools.pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(doc, ast.Expr):
                text = ast.literal_eval(doc.value) if isinstance(doc.value, ast.Constant) else None
                if isinstance(text, str):
                    docs[field.target.id] = " ".join(text.split())
    return docs


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """A key of a section in YAML: a field of its class, or an item of a flattened field."""

    name: str
    hint: Any
    """Type of its value."""
    field: "dataclasses.Field[Any]"
    flattened: bool = False

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        nothing = dataclasses.MISSING
        return not self.flattened and self.field.default is nothing and self.field.default_factory is nothing

    @property
    def default(self) -> Any:
        """Of a key that is not required."""
        if self.flattened:
            return None
        return self.field.default if self.field.default_factory is dataclasses.MISSING else self.field.default_factory()

    def value_in(self, config: Any) -> Any:
        """The value of the key in an instance of the class."""
        value = getattr(config, self.field.name)
        return value.get(self.name) if self.flattened else value


@functools.cache
def keys_of(cls: type) -> dict[str, Key]:
    """The keys of a config class, in order."""
    keys: dict[str, Key] = {}
    annotations = _hints(cls)
    for field in dataclasses.fields(cls):
        if not field.init or field.name.startswith("_"):
            continue
        if FLATTEN in field.metadata:
            items: Mapping[str, type] = field.metadata[FLATTEN]()
            keys |= {name: Key(name, item | None, field, flattened=True) for name, item in items.items()}
        else:
            keys[key_of(field)] = Key(key_of(field), annotations[field.name], field)
    return keys


def key_of(field: "dataclasses.Field[Any]") -> str:
    """How a field is written in YAML: its name, or `class` for a field that Python makes us call `class_`."""
    return field.name.removesuffix("_")


def hints(cls: type) -> dict[str, Any]:
    """The resolved annotations of a config class."""
    return _hints(cls)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _place(where: str, path: str) -> str:
    return f"{where}: {path}" if path else where


def _wrong(expected: str, value: Any, where: str, path: str, hint: str | None = None) -> ConfigError:
    try:
        shown = json.dumps(value, default=str)
    except (ValueError, RecursionError):  # YAML can say that a list is an item of itself
        shown = "something that holds itself"
    return ConfigError(_place(where, path), f"expected {expected}, found {shown[:80]} ({kind_of(value)})", hint=hint)


def _value(hint: Any, value: Any, where: str, path: str, variants: Variants) -> Any:
    """`value` checked against one type hint; the heart of the loader."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _union(args, value, where, path, variants)
    if origin is Literal:
        if value in args and type(value) in {type(arg) for arg in args}:
            return value
        known = [str(arg) for arg in args]
        raise _wrong(f"one of {', '.join(known)}", value, where, path, nearest(str(value), known))
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list):
            raise _wrong("a list", value, where, path, hint=f"write it as [{value}]" if value is not None else None)
        off = [args[0] in variants and isinstance(item, dict) and list(item.values()) == [None] for item in value]
        items = [_value(args[0], item, where, f"{path}[{i}]", variants) for i, item in enumerate(value) if not off[i]]
        return items if origin is list else tuple(items)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong("a mapping", value, where, path)
        return {
            _key(args[0], key, where, path): _value(args[1], v, where, f"{path}.{key}", variants)
            for key, v in value.items()
        }
    if hint in variants:
        return _variant(variants[hint], value, where, path, variants)
    if dataclasses.is_dataclass(hint):
        return _dataclass(typing.cast(type, hint), value, where, path, variants)
    return _scalar(hint, value, where, path)


def _key(hint: Any, key: Any, where: str, path: str) -> Any:
    """A key of a mapping; a number may be written as text."""
    if hint is int and isinstance(key, str) and key.isdecimal():
        return int(key)
    return _scalar(hint, key, where, f"{path} key")


def _union(args: tuple[Any, ...], value: Any, where: str, path: str, variants: Variants) -> Any:
    if value is None and type(None) in args:
        return None
    rest = [arg for arg in args if arg is not type(None)]
    errors = []
    for arg in rest:
        try:
            return _value(arg, value, where, path, variants)
        except ConfigError as error:
            errors.append(error)
    # With several kinds allowed, the deepest error is the one about the kind the user meant; else the one of a kind
    # that is written as a mapping, if that is what was written.
    meant = [isinstance(value, dict) == dataclasses.is_dataclass(arg) for arg in rest]
    raise max(zip(errors, meant, strict=True), key=lambda pair: (len(pair[0].place), pair[1]))[0]


def _scalar(hint: Any, value: Any, where: str, path: str) -> Any:
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise _wrong("true or false", value, where, path)
    if hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        raise _wrong("a whole number", value, where, path)
    if hint is float:
        return _float(value, where, path)
    if hint is str:
        if isinstance(value, str):
            return value
        advice = "quote it: YAML reads a bare no, yes, on or off as true/false" if isinstance(value, bool) else None
        raise _wrong("text", value, where, path, advice)
    known = ["bool", "int", "float", "str", "Literal", "tuple[...]", "Mapping[...]", "a dataclass", "... | None"]
    problem = f"its class says {getattr(hint, '__name__', hint)}, which no config can hold"
    raise ConfigError(_place(where, path), problem, known=known)


def _float(value: Any, where: str, path: str) -> float:
    """A finite float; YAML 1.1 reads `3e-4` as text, so number-like text is taken too."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _wrong("a number", value, where, path)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise _wrong("a number", value, where, path) from None
    if number != number or number in (float("inf"), float("-inf")):
        raise _wrong("a finite number", value, where, path)
    return number


def _variant(registry: Registry, value: Any, where: str, path: str, variants: Variants) -> Any:
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, dict) or len(value) != 1 or not isinstance(next(iter(value)), str):
        raise _wrong("one name with its settings, as in `gopher_quality: {min_words: 50}`", value, where, path)
    [(name, fields)] = value.items()
    try:
        cls = registry.load(name)
    except KeyError:
        known, problem = registry.names(), f"unknown name '{name}'"
        raise ConfigError(_place(where, path), problem, known=known, hint=nearest(name, known)) from None
    except ConfigError as error:
        problem = f"{error.place}: {error.problem}"
        raise ConfigError(_place(where, path), problem, known=error.known, hint=error.hint) from error
    return _dataclass(cls, {} if fields is None else fields, where, f"{path}.{name}" if path else name, variants)


def _dataclass(cls: type, value: Any, where: str, path: str, variants: Variants) -> Any:
    if not isinstance(value, dict):
        raise _wrong("a mapping of settings", value, where, path)
    keys = keys_of(cls)
    for name in value:
        if name not in keys:
            hint = nearest(str(name), keys) or getattr(cls, "UNKNOWN_FIELD", "").format(name) or None
            raise ConfigError(_place(where, path), f"unknown field '{name}'", known=sorted(keys), hint=hint)
    prefix = f"{path}." if path else ""
    arguments: dict[str, Any] = {}
    for name, item in value.items():
        field, found = keys[name].field.name, _value(keys[name].hint, item, where, prefix + name, variants)
        if keys[name].flattened:
            arguments.setdefault(field, {})[name] = found
        else:
            arguments[field] = found
    missing = [name for name, key in keys.items() if name not in value and key.required]
    if missing:
        doc = field_docs(cls).get(keys[missing[0]].field.name)
        raise ConfigError(_place(where, prefix + missing[0]), "is required and not given", hint=doc)
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ConfigError(_place(where, path), str(error)) from error
