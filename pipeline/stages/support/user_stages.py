"""Stages of the user's own: where they are looked for, what keeps one from being imported, and what its code is.

`mypackage.mymodule.MyStage` is found as Python finds any module; `run.stages_path` is put at the end of the path.
"""

import ast
import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import site
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.contract.errors import ConfigError, nearest
from pipeline.contract.manifest import sha256_file

_HINT = "a folder with your stages is given as --stages DIR or run.stages_path; see docs/stages.md"
_INSTALLED = tuple(sorted({*site.getsitepackages(), site.getusersitepackages()}))
_MAX_PLACES = 4
_LONGEST_NAME = 255
_OURS = ("pipeline", "training")  # of what is ours the version is known


class StageNotFound(ConfigError):
    """No module of the name that a stage begins with; `module` is that name."""

    module = ""


def add_stages_path(folder: str | None, place: str = "run.stages_path") -> None:
    """Look for modules in `folder`, too, after all other places.

    Raises:
        ConfigError: there is no such folder.
    """
    if folder is None:
        return
    if not Path(folder).is_dir():
        raise ConfigError(
            f"{place}: {folder}", "there is no such folder", hint="give the folder that holds your stages"
        )
    path = str(Path(folder).resolve())
    if path not in sys.path:
        sys.path.append(path)
        importlib.invalidate_caches()


def load_user_stage(name: str) -> type:
    """The dataclass with the dotted name `name`.

    Raises:
        ConfigError: it cannot be imported, or is no stage; the message has the cause and the place of it.
    """
    module_name, _, class_name = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(name, "is no dotted name of a class", hint="write package.module.Class")
    module = import_module(module_name)
    found = getattr(module, class_name, None)
    place = getattr(module, "__file__", None) or module_name
    if found is None:
        known = [
            key for key, value in vars(module).items() if isinstance(value, type) and value.__module__ == module_name
        ]
        raise ConfigError(place, f"has no '{class_name}'", known=known, hint=nearest(class_name, known))
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        raise ConfigError(place, f"'{class_name}' is no dataclass; a stage is a frozen dataclass that can be called",
                          hint="put @dataclasses.dataclass(frozen=True, kw_only=True) above the class; "
                          "see docs/stages.md")  # fmt: skip
    if "__call__" not in dir(found):
        raise ConfigError(place, f"'{class_name}' cannot be called: it has no method __call__(self, doc)",
                          hint="see docs/stages.md")  # fmt: skip
    return found


def import_module(name: str) -> ModuleType:
    """A module of the user's own.

    Raises:
        ConfigError: it is not found, or importing it failed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise _not_found(name, error.name) from None
        raise ConfigError(_place_of(error, name), f"imports '{error.name}', which is not installed",
                          hint="install it in the environment of tokenmill") from error  # fmt: skip
    except Exception as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        problem = f"cannot be imported: {type(error).__name__}: {reason}"
        raise ConfigError(_place_of(error, name), problem) from error


def _not_found(name: str, missing: str) -> StageNotFound:
    places = [path for path in sys.path if path and Path(path).is_dir() and not _is_library(Path(path))]
    more = f" and {len(places) - _MAX_PLACES} more" if len(places) > _MAX_PLACES else ""
    searched = ", ".join(places[-_MAX_PLACES:])
    problem = f"no module '{missing}'" + (f" (of '{name}')" if missing != name else "")
    where = f"in {searched}{more} or among the installed packages" if places else "among the installed packages"
    error = StageNotFound(name, f"{problem} {where}", hint=_HINT)
    error.module = missing
    return error


def _is_library(path: Path) -> bool:
    """Whether a folder of the path holds what is installed, or Python itself."""
    return str(path) in _INSTALLED or path.is_relative_to(sys.base_prefix) or path.is_relative_to(sys.prefix)


def _place_of(error: BaseException, name: str) -> str:
    """File and line, in the user's own code, where an import failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    last = next((frame for frame in reversed(frames) if frame.filename != __file__), None)
    return f"{last.filename}:{last.lineno}" if last else name


def user_stage_names(tree: Any) -> Iterator[str]:
    """The dotted names in the lists of stages of a resolved config: stages, and what `datatrove` items wrap."""
    if isinstance(tree, Mapping):
        for value in tree.values():
            yield from user_stage_names(value)
    for item in tree if isinstance(tree, list) else ():
        for name, fields in item.items() if isinstance(item, Mapping) and len(item) == 1 else ():
            wrapped = fields.get("class") if name == "datatrove" and isinstance(fields, Mapping) else None
            if isinstance(wrapped, str) or "." in str(name):
                yield wrapped if isinstance(wrapped, str) else str(name)


def sources(name: str) -> dict[str, str]:
    """What the code behind a dotted name is: SHA-256 by path, relative to the folder that Python found it in.

    The module's file or all files of its package, the files beside a module that it names, and the same of what these
    import. Of installed packages, the version of their distribution (`version of NAME`) alone, unless the stage itself
    is in one. Nothing for what datatrove ships: its version is among those of the run. A module that is imported by a
    name made up at run time, or a file that is found by one, is not seen.

    Raises:
        ConfigError: the module cannot be imported.
    """
    module_name = name.rpartition(".")[0]
    top = module_name.partition(".")[0]
    if top == "datatrove":
        return {}
    file = getattr(import_module(module_name), "__file__", None)
    if not file or not Path(file).is_file():  # made at run time, or compiled in
        return _versions([top])
    root = Path(file).absolute().parents[module_name.count(".") + (Path(file).name == "__init__.py")]
    files, installed = _code(top, root)
    return _versions([top, *installed]) | {label: sha256_file(files[label]) for label in sorted(files)}


def changed_code(expected: Mapping[str, Mapping[str, str]]) -> str:
    """What of the code behind some dotted names is not as `sources` found it before; empty if all is."""
    return "; ".join(code_changes(expected, {name: sources(name) for name in expected}))


def code_changes(old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What differs of the code behind the names that both have, one line each."""
    changed = {name: {*old[name].items()} ^ {*new[name].items()} for name in old if name in new}
    return [f"the code of {name} has changed: {', '.join(sorted({file for file, _ in found}))}"
            for name, found in changed.items() if found]  # fmt: skip


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Top-level modules of what is installed -> names of distributions; it reads the list of every distribution."""
    return importlib.metadata.packages_distributions()


def _versions(modules: Sequence[str]) -> dict[str, str]:
    known = _distributions()
    names = sorted({distribution for module in modules for distribution in known.get(module, ())})
    return {f"version of {name}": importlib.metadata.version(name) for name in names}


def _code(top: str, root: Path) -> tuple[dict[str, Path], list[str]]:
    """Files of the module or package `top` in `root` and of all that it imports, by label; installed ones by name."""
    files: dict[str, Path] = {}
    installed: list[str] = []
    waiting, seen = [(top, root)], set(_OURS)
    while waiting:
        name, place = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name != top and _is_library(place):
            installed.append(name)
            continue
        found = _files(place / name)
        files |= {_label(path, place): path for path in found}
        for path in (path for path in found if path.suffix == ".py"):
            imported, named = _mentions(path)
            files |= {_label(other, place): other for other in named}
            waiting += [(other, home) for other in imported if (home := _home_of(other, place))]
    return files, installed


def _label(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _home_of(module: str, beside: Path) -> Path | None:
    """The folder that Python would find a module in; None for one of Python's own, or one that is not there."""
    if _files(beside / module):
        return beside
    if module in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    return Path(places[0]).absolute().parent if places and places[0] else None


def _files(place: Path) -> set[Path]:
    """The file of a module or all files of a package; hidden and compiled ones say nothing that the others do not."""
    if not place.is_dir():
        return {place.with_suffix(".py")} if place.with_suffix(".py").is_file() else set()
    return {path for path in place.rglob("*") if path.is_file() and path.suffix != ".pyc"
            and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(place).parts)}  # fmt: skip


def _mentions(path: Path) -> tuple[set[str], set[Path]]:
    """First parts of the names that a module imports, wherever in it; and the files that texts in it name."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a file of the package that nothing imports
        return set(), set()
    imported, named = set[str](), set[Path]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) <= _LONGEST_NAME:
            with contextlib.suppress(OSError, ValueError):  # no name of a file at all
                named |= {place for place in [path.parent / node.value] if place.is_file()}
    return imported, named
