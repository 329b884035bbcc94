"""Presidio's pattern recognizers and the public suffix list, without what their packages bring along.

`import presidio_analyzer` loads spaCy, through it torch and transformers where they are installed (7 s and 440 MB a
process), and every recognizer of every country; tldextract loads requests for lists that are never fetched here. Of all
that the recognizers of patterns use nothing. So the modules that hold them are imported by themselves, with stand-ins
in the places of the packages around them, in 0.05 s; afterwards `sys.modules` is as it was, and whoever imports
Presidio next gets all of it. Where a version of Presidio is built otherwise, it is imported whole.
"""

import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

_BASES = {
    "AnalysisExplanation": "analysis_explanation",
    "RecognizerResult": "recognizer_result",
    "EntityRecognizer": "entity_recognizer",
    "LocalRecognizer": "local_recognizer",
    "Pattern": "pattern",
    "PatternRecognizer": "pattern_recognizer",
}
"""What a recognizer imports from `presidio_analyzer`, and the modules it comes from, each after those it needs."""
_PACKAGES = ("predefined_recognizers", "predefined_recognizers.generic", "predefined_recognizers.country_specific",
             "predefined_recognizers.country_specific.us")  # fmt: skip
_HEAVY = ("torch", "transformers", "stanza", "gliner", "flair")
_WEB = ("requests", "requests_file", "filelock")


def recognizer_class(path: str, name: str) -> Any:
    """The class `name` of the module `presidio_analyzer.predefined_recognizers.<path>`."""
    try:
        return getattr(_import_isolated(f"presidio_analyzer.predefined_recognizers.{path}"), name)
    except (ImportError, AttributeError, TypeError):
        with _stand_ins_loaded(dict.fromkeys(_HEAVY)):
            import presidio_analyzer.predefined_recognizers as whole

            return getattr(whole, name)


@functools.cache
def suffix_extractor() -> Any:
    """tldextract with the suffix list of its package; Presidio's own use of it fetches the list from the network."""
    if "tldextract" not in sys.modules:
        stand_ins: dict[str, ModuleType | None] = {name: _StandIn(name) for name in _WEB}
        with (
            contextlib.suppress(ImportError, AttributeError, TypeError),
            _stand_ins_loaded(stand_ins),
            _modules_restored("tldextract"),
        ):
            return _offline_extractor()
    return _offline_extractor()


def _offline_extractor() -> Any:
    import tldextract

    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, fallback_to_snapshot=True)
    extract("example.org")  # reads the list
    return extract


class _StandIn(ModuleType):
    """A module in which every name is some class whose methods do nothing."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__getattr__": lambda *_: lambda *_: None})


_loaded: dict[str, ModuleType] = {}
"""Presidio's modules that were loaded alone; they share their base classes."""


def _import_isolated(module: str) -> ModuleType:
    if module not in _loaded:
        package, spec = "presidio_analyzer", importlib.util.find_spec("presidio_analyzer")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(package)
        folder = spec.submodule_search_locations[0]
        stand_ins: dict[str, ModuleType | None] = {
            f"{package}.nlp_engine": _StandIn(f"{package}.nlp_engine"),
            "tldextract": _StandIn("tldextract"),
        }
        for name in (package, *(f"{package}.{name}" for name in _PACKAGES)):
            stand_ins[name] = found = ModuleType(name)
            found.__path__ = [folder + name.removeprefix(package).replace(".", "/")]
        with _modules_restored(package), _stand_ins_loaded({**stand_ins, **_loaded}):
            root = sys.modules[package]
            for name, source in _BASES.items():
                setattr(root, name, getattr(importlib.import_module(f"{package}.{source}"), name))
            importlib.import_module(module)
            modules = {name: found for name, found in sys.modules.items() if name.startswith(f"{package}.")}
            _loaded.update({name: found for name, found in modules.items() if name not in stand_ins})
    return _loaded[module]


@contextlib.contextmanager
def _stand_ins_loaded(stand_ins: dict[str, Any]) -> Iterator[None]:
    """Put these in the places of modules that are not loaded, for a moment; None: "not to be found"."""
    absent = {name: found for name, found in stand_ins.items() if name not in sys.modules}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def _modules_restored(package: str) -> Iterator[None]:
    """Restore what `sys.modules` holds of a package: its modules loaded meanwhile are this module's own."""

    def held() -> dict[str, ModuleType]:
        return {name: m for name, m in sys.modules.items() if name == package or name.startswith(f"{package}.")}

    before = held()
    for name in before:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in held():
            del sys.modules[name]
        sys.modules.update(before)
