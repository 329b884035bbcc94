"""The values of a config class that was made in Python, checked as the loader checks those of a file.

The loader (`config.build`) sees plain data and says what does not fit; a call such as `MainText(engine="typo")` never
passes it. `check_fields(self)`, the first line of `__post_init__`, holds both to the same types: there is nothing to
convert, so a list of a file is a tuple here, and a section is an instance of its class.
"""

import dataclasses
import functools
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from pipeline.contract.config import hints, key_of
from pipeline.contract.errors import nearest


def check_fields(config: Any) -> None:
    """Check every field of a config class against its annotation.

    Raises:
        ValueError: a value that does not fit; the message names the key, what was expected and the value.
    """
    cls: type = type(config)
    for field, hint, fits in _fields_of(cls):
        value = getattr(config, field.name)
        if value is not field.default and not fits(value):  # the author's own fits, and is most of them
            _refuse(hint, value, key_of(field))


@functools.cache
def _fields_of(cls: type) -> "tuple[tuple[dataclasses.Field[Any], Any, Callable[[Any], bool]], ...]":
    """The fields, each with its annotation and whether a value fits it."""
    annotations = hints(cls)
    return tuple((field, annotations[field.name], _test(annotations[field.name])) for field in dataclasses.fields(cls))


def _refuse(hint: Any, value: Any, path: str) -> NoReturn:
    """Raise ValueError for a value that does not fit: for the part of it that does not, where one can be told."""
    kinds = get_args(hint) if _is_union(hint) else (hint,)
    for kind in kinds:
        for part, item, place in _parts(kind, value, path):
            if not _test(part)(item):
                _refuse(part, item, place)
    known = [arg for kind in kinds if get_origin(kind) is Literal for arg in get_args(kind)]
    advice = nearest(value, map(str, known)) if isinstance(value, str) else None
    problem = f"{path}: must be {_expected(hint)}, got {reprlib.repr(value)} ({type(value).__name__})"
    raise ValueError(f"{problem}; {advice}" if advice else problem)


def _parts(kind: Any, value: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    """(type, value, path) of what a tuple or a mapping holds."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple and isinstance(value, tuple):
        yield from ((args[0], item, f"{path}[{number}]") for number, item in enumerate(value))
    if origin is Mapping and isinstance(value, Mapping):
        for key, item in value.items():
            yield args[0], key, f"{path} key"
            yield args[1], item, f"{path}.{key}"


@functools.cache
def _test(hint: Any) -> Callable[[Any], bool]:
    """Whether a value is of the type; of numbers, booleans and text as strictly as in a file."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda _: True
    if origin is Literal:
        return lambda value: any(type(value) is type(arg) and value == arg for arg in args)
    if _is_union(hint):
        tests = [_test(arg) for arg in args]
        return lambda value: any(test(value) for test in tests)
    if origin is tuple:
        item_fits = _test(args[0])
        return lambda value: isinstance(value, tuple) and all(map(item_fits, value))
    if origin is Mapping:
        key_fits, item_fits = map(_test, args)
        return lambda value: (
            isinstance(value, Mapping) and all(map(key_fits, value)) and all(map(item_fits, value.values()))
        )
    plain = {bool: _is_bool, int: _is_int, float: _is_float}
    return plain.get(hint) or (lambda value: isinstance(value, hint))


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_int(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()  # 50.0 in a file reads as 50, too
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: Any) -> bool:
    """Finite: a comparison with NaN is false, and ints know no infinity but outgrow a float."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _expected(hint: Any) -> str:
    """A type in words."""
    origin, args = get_origin(hint), get_args(hint)
    if _is_union(hint):
        return " or ".join(_expected(arg) for arg in args)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is tuple:
        return f"a tuple, each item {_expected(args[0])}"
    if origin is Mapping:
        return f"a mapping, each value {_expected(args[1])}" if args[1] is not Any else "a mapping"
    words = {bool: "True or False", int: "a whole number", float: "a finite number", str: "a str", type(None): "None"}
    return words.get(hint) or f"an instance of {typing.cast(type, hint).__name__}"
