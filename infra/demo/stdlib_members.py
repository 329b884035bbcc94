"""What the standard library holds: its modules, their public members, signatures and docstrings."""

import contextlib
import functools
import inspect
import io
import itertools
import pkgutil
import pydoc
import re
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SIDE_EFFECTS = frozenset({"antigravity", "this", "idlelib", "turtledemo", "test", "lib2to3", "nt"})
"""Importing them opens a browser, prints a poem, wants a screen, or brings tests; with their submodules."""
FORMULAIC = frozenset({"encodings", "distutils.command", "tkinter.tix"})
"""Packages of which only the front page is told: a hundred codecs with the same three lines each."""
LICENCE = re.compile(r"copyright|licen[cs]e|warrant", re.IGNORECASE)
ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]{4,}")


class Member(NamedTuple):
    """A class, routine or other value under the name by which its module or class knows it."""

    name: str
    value: object


class Members(NamedTuple):
    """The public members of a module, each list sorted by name."""

    classes: list[Member]
    routines: list[Member]
    others: list[Member]


@functools.cache
def modules() -> dict[str, types.ModuleType]:
    """Every module of the standard library that this machine can import, by name, sorted."""
    names = [name for name in sys.stdlib_module_names if name not in SIDE_EFFECTS and not name.startswith("__")]
    every = sorted({*names, *(sub for name in names if not name.startswith("_") for sub in submodules(name))})
    return {name: module for name in every if (module := load(name)) is not None}


def submodules(name: str) -> Iterator[str]:
    """Public submodules of a package, at any depth; a package is imported to see what it holds."""
    for found in pkgutil.iter_modules(getattr(load(name), "__path__", ()), f"{name}."):
        leaf = found.name.rpartition(".")[2]
        if leaf.startswith("_") or leaf in {"test", "tests"} or name in FORMULAIC or found.name in FORMULAIC:
            continue
        yield found.name
        if found.ispkg:
            yield from submodules(found.name)


def load(name: str) -> types.ModuleType | None:
    """The module, or None where this machine lacks what it needs (Windows' modules, a missing C library)."""
    silent = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        warnings.simplefilter("ignore")
        try:
            found = pydoc.safeimport(name)
        except pydoc.ErrorDuringImport:
            return None
    return found if isinstance(found, types.ModuleType) else None


def members(module: types.ModuleType) -> Members:
    """What `module` offers: its `__all__`, or without one the public names that were defined in it."""
    found = Members([], [], [])
    public = getattr(module, "__all__", None)
    for name, value in sorted(vars(module).items()):
        if not pydoc.visiblename(name, public, module) or name.startswith("__") or inspect.ismodule(value):
            continue
        if public is None and (inspect.getmodule(value) or module) is not module:
            continue
        kind = found.classes if inspect.isclass(value) else found.routines if inspect.isroutine(value) else found.others
        kind.append(Member(name, value))
    return found


def class_members(cls: object) -> list[Member]:
    """The methods and properties that `cls` defines itself, sorted; inherited ones stand with their own class."""
    found = []
    for name, item in sorted(vars(cls).items()):
        value = item.__func__ if isinstance(item, (staticmethod, classmethod)) else item
        special = name.startswith("__") and inspect.isfunction(value)
        if (special or not name.startswith("_")) and (inspect.isroutine(value) or inspect.isdatadescriptor(value)):
            found.append(Member(name, value))
    return found


def docstring(value: object) -> str:
    """The docstring of `value` itself, else the comment above it as pydoc takes it; never an inherited docstring."""
    own = getattr(value, "__doc__", None)
    if isinstance(own, str) and own.strip():
        return scrub(inspect.cleandoc(own))
    comment = inspect.getcomments(value) if inspect.isfunction(value) else None
    return re.sub(r"(?m)^#+ ?", "", comment).strip() if comment else ""


def notes(module: types.ModuleType) -> list[str]:
    """Comments of two lines or more in a module's source, where its authors explain how it works; no licences."""
    file = Path(getattr(module, "__file__", None) or "")
    if file.suffix != ".py" or not file.is_file():
        return []
    lines = [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    runs = [list(run) for is_comment, run in itertools.groupby(lines, key=lambda line: line[:1] == "#") if is_comment]
    blocks = ["\n".join(re.sub(r"^#+:? ?", "", line) for line in run).strip() for run in runs if len(run) > 1]
    return [scrub(block) for block in blocks if len(block) >= 100 and not LICENCE.search(block)]


def summary(value: object) -> str:
    """The first line of the docstring, without its full stop."""
    return docstring(value).partition("\n")[0].rstrip(". ")


def signature(name: str, value: object) -> str:
    """`name(arguments)` without `self`; `name()` where Python does not know the arguments, `name` of a property."""
    if not callable(value):
        return name
    try:
        known = inspect.signature(value)
    except (ValueError, TypeError, NameError, AttributeError):  # signatures of C code may name what is not there
        return f"{name}()" if inspect.isroutine(value) else name
    kept = [plain(parameter) for parameter in known.parameters.values() if parameter.name not in {"self", "cls"}]
    try:
        return f"{name}{scrub(str(inspect.Signature(kept)))}"
    except ValueError:  # without `self` a lone `/` or an order may be left that no signature has
        return f"{name}(...)"


def plain(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter without annotation, and with a default that reads the same on every machine."""
    parameter = parameter.replace(annotation=inspect.Parameter.empty)
    default = parameter.default
    if default is inspect.Parameter.empty or isinstance(default, (int, float, str, bytes, type(None))):
        return parameter
    return parameter.replace(default=Name(getattr(default, "__qualname__", "...")))


class Name(str):
    """A default that is shown as it stands, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@functools.cache
def _places() -> tuple[str, ...]:
    """Folders of this installation that turn up in docstrings and defaults, the longest first."""
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path.home()), str(Path.cwd())}
    return tuple(sorted(found - {"/", "/usr"}, key=len, reverse=True))


def scrub(text: str) -> str:
    """Take out what differs between two runs or two machines: addresses of objects, folders of this installation."""
    for place in _places():
        text = text.replace(place, "/usr")
    return ADDRESS.sub(" at 0x…", text)
