"""Stages of the user's own: where they are looked for, what keeps one from being imported, and what its code is.

`mypackage.mymodule.MyStage` is found as Python finds any module; `run.stages_path` is put at the end of the path.
"""

import ast
import dataclasses
import importlib
import importlib.metadata
import site
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.contract.errors import ConfigError, nearest
from pipeline.contract.manifest import sha256_file

_HINT = "a folder with your stages is given as --stages DIR or run.stages_path; see docs/stages.md"
_INSTALLED = tuple(sorted({*site.getsitepackages(), site.getusersitepackages()}))
_MOST_PLACES = 4
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
            f"{place}: {folder}", "there is no such folder", mend="give the folder that holds your stages"
        )
    path = str(Path(folder).resolve())
    if path not in sys.path:
        sys.path.append(path)
        importlib.invalidate_caches()


def load_own(name: str) -> type:
    """The dataclass with the dotted name `name`.

    Raises:
        ConfigError: it cannot be imported, or is no stage; the message has the cause and the place of it.
    """
    module_name, _, class_name = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(name, "is no dotted name of a class", mend="write package.module.Class")
    module = import_module(module_name)
    found = getattr(module, class_name, None)
    place = getattr(module, "__file__", None) or module_name
    if found is None:
        known = [
            key for key, value in vars(module).items() if isinstance(value, type) and value.__module__ == module_name
        ]
        raise ConfigError(place, f"has no '{class_name}'", known=known, mend=nearest(class_name, known))
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        raise ConfigError(place, f"'{class_name}' is no dataclass; a stage is a frozen dataclass that can be called",
                          mend="put @dataclasses.dataclass(frozen=True, kw_only=True) above the class; "
                          "see docs/stages.md")  # fmt: skip
    if "__call__" not in dir(found):
        raise ConfigError(place, f"'{class_name}' cannot be called: it has no method __call__(self, doc)",
                          mend="see docs/stages.md")  # fmt: skip
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
                          mend="install it in the environment of tokenmill") from error  # fmt: skip
    except Exception as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        problem = f"cannot be imported: {type(error).__name__}: {reason}"
        raise ConfigError(_place_of(error, name), problem) from error


def _not_found(name: str, missing: str) -> StageNotFound:
    places = [path for path in sys.path if path and Path(path).is_dir() and not _is_library(Path(path))]
    more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
    searched = ", ".join(places[-_MOST_PLACES:])
    problem = f"no module '{missing}'" + (f" (of '{name}')" if missing != name else "")
    where = f"in {searched}{more} or among the installed packages" if places else "among the installed packages"
    error = StageNotFound(name, f"{problem} {where}", mend=_HINT)
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


def own_names(tree: Any) -> Iterator[str]:
    """The dotted names in the lists of stages of a resolved config: stages, and what `datatrove` items wrap."""
    if isinstance(tree, Mapping):
        for value in tree.values():
            yield from own_names(value)
    for item in tree if isinstance(tree, list) else ():
        for name, fields in item.items() if isinstance(item, Mapping) and len(item) == 1 else ():
            wrapped = fields.get("class") if name == "datatrove" and isinstance(fields, Mapping) else None
            if isinstance(wrapped, str) or "." in str(name):
                yield wrapped if isinstance(wrapped, str) else str(name)


def sources(name: str) -> dict[str, str]:
    """What the code behind a dotted name is: SHA-256 by path, relative to the folder that Python found it in.

    The module's file or all files of its package; and the modules beside it that these import, unless the folder is one
    of installed packages. Of an installed one also its version. Nothing for what datatrove ships: its version is among
    those of the run.

    Raises:
        ConfigError: the module cannot be imported.
    """
    module_name = name.rpartition(".")[0]
    top = module_name.partition(".")[0]
    if top == "datatrove":
        return {}
    file = Path(getattr(import_module(module_name), "__file__", None) or "")
    versions = {f"version of {found}": importlib.metadata.version(found)
                for found in sorted(set(importlib.metadata.packages_distributions().get(top, ())))}  # fmt: skip
    if not file.is_file():  # made at run time, or compiled in
        return versions
    root = file.absolute().parents[module_name.count(".") + (file.name == "__init__.py")]
    hashes = {path.relative_to(root).as_posix(): sha256_file(path) for path in sorted(_code(top, root))}
    return versions | hashes


def _code(top: str, root: Path) -> set[Path]:
    """Files of the module or package `top` in `root`, and of those beside it that it imports, directly or not."""
    found: set[Path] = set()
    waiting, seen = [top], set(_OURS)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        files = _files(root / name)
        found |= files
        if not _is_library(root):
            waiting += [other for path in files if path.suffix == ".py" for other in _imports(path)]
    return found


def _files(place: Path) -> set[Path]:
    """The file of a module or all files of a package; hidden and compiled ones say nothing that the others do not."""
    if not place.is_dir():
        return {place.with_suffix(".py")} if place.with_suffix(".py").is_file() else set()
    return {path for path in place.rglob("*") if path.is_file() and path.suffix != ".pyc"
            and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(place).parts)}  # fmt: skip


def _imports(path: Path) -> Iterator[str]:
    """First parts of the names that a module imports, wherever in it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a file of the package that nothing imports
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
