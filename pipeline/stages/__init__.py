"""The stages: one file, one class, one YAML key, one test, one prefix in the report.

The folder is the registry: `gopher_quality.py` holds `GopherQuality`, written `gopher_quality:` in a config. A name
with a dot (`mypackage.mymodule.MyStage`) imports a class of your own; see `support/user_stages.py` and docs/stages.md.
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import is_dataclass

from pipeline.document import name_of

__all__ = ["labels", "load", "name_of", "names"]


def names() -> list[str]:
    """Every stage shipped here, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def load(name: str) -> type:
    """The stage class called `name`.

    Raises:
        KeyError: no stage shipped here has this name, and it has no dot.
        ConfigError: a stage of the user's own cannot be imported, or is none.
    """
    if "." in name:
        from pipeline.stages.support.user_stages import load_user_stage

        return load_user_stage(name)
    if name not in names():
        raise KeyError(name)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    found: type = getattr(importlib.import_module(f"{__name__}.{name}"), class_name)
    assert is_dataclass(found)
    return found


def labels(stages: Sequence[object]) -> list[str]:
    """What each stage of one step is called in tables and reports.

    Its name; or, where the class stands for many (`datatrove`), what its `report_name` says. The second of the same
    name ends in `.2`: two blocks of datatrove in one step must not add up as one.
    """
    found: list[str] = []
    seen: Counter[str] = Counter()
    for stage in stages:
        name = getattr(stage, "report_name", None) or name_of(type(stage))
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return found
