"""What differs between two runs: their inputs, the code of the user's own stages, the files that their configs name."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.contract.run import InputFile, RunRecord
from pipeline.stages.support.user_stages import code_changes

_LONGEST_PATH = 4096


def without_input(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs found stand for the patterns that found them."""
    rest = {key: value for key, value in tree["input"].items() if key not in ("paths", "listing")}
    return {**tree, "input": rest}


def named_previous_runs(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """The run folders that a resolved config names (`dedup.previous_runs`); what identifies one is its fingerprint."""
    return tuple((tree.get("dedup") or {}).get("previous_runs", ()))


def source_changes(old: RunRecord, new: RunRecord, names: Collection[str] | None = None) -> list[str]:
    """What happened to the code of the user's own stages between two runs, one line each; of `names` alone, if given.

    A stage that only one of the runs has is a change of the config.
    """
    before = {name: code for name, code in old.sources.items() if names is None or name in names}
    return code_changes(before, new.sources)


def input_changes(old: Sequence[InputFile], new: Sequence[InputFile]) -> list[str]:
    """What happened to the inputs between two runs, one line each."""
    before, after = {item.path: item for item in old}, {item.path: item for item in new}
    removed = [f"input {path} is no longer there" for path in before if path not in after]
    added = [f"input {path} is new" for path in after if path not in before]
    changed = [
        f"input {path} has changed ({before[path].bytes} -> {after[path].bytes} bytes)"
        for path in after
        if path in before and before[path].identity() != after[path].identity()
    ]
    return removed + added + changed


def named_files(tree: Any) -> Iterator[Path]:
    """The local files that a resolved config names (tokenizer, lists, benchmarks): their content matters too."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from named_files(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from named_files(value)
    elif isinstance(tree, str) and 0 < len(tree) < _LONGEST_PATH and Path(tree).is_file():
        yield Path(tree)
