"""Benchmarks on local files, as configs for lm-evaluation-harness.

`tasks/NAME.yaml` is a task of the harness whose `data_files` are names in the user's folder. The files are jsonl, one
item a line: `query` and/or `context`, `choices` and `label` (an index), `target` where the answer is generated, and
`id`. Nothing is downloaded and no cache is written. A file without a task of its own is scored as multiple choice.
"""

import collections
import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.contract.contamination import State
from pipeline.contract.errors import InputError, nearest
from pipeline.contract.yaml_text import read_yaml
from training.evaluation.contamination_scores import ContaminationRecord

TASK_FOLDER = Path(__file__).with_name("tasks")
OWN_TASK = "multiple_choice"
Item = dict[str, Any]


class Items(list[Item]):
    """What the harness takes for a data set: rows, and the names of their fields."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        super().__init__(items)
        self.lines: list[int] = []
        """Of each item in its file, from 1."""

    @property
    def features(self) -> dict[str, None]:
        """The fields that the first item has."""
        return dict.fromkeys(self[0]) if self else {}

    @property
    def names(self) -> list[str]:
        """What each item is called by those who look for it on pages: its id, or its line number."""
        return [str(item.get("id", line)) for item, line in zip(self, self.lines, strict=True)]


@dataclasses.dataclass(frozen=True, slots=True)
class LocalTask:
    """One task over local files."""

    name: str
    configs: tuple[dict[str, Any], ...]
    """Of the harness's ConfigurableTask; several are one score, the mean over all their items."""
    items: int
    excluded: int
    """Items left out as contaminated."""
    chance: float | None
    """Accuracy of guessing; None where answers are not chosen but written."""
    examples: int
    """Solved examples that can be put before an item."""
    states: Mapping[str, Sequence[State]] = dataclasses.field(default_factory=dict)
    """Name of each config -> whether its items are contaminated, in their order; empty where nobody asked."""


def task_names() -> list[str]:
    """Every task that has a file in `tasks/`, sorted."""
    return sorted(path.stem for path in TASK_FOLDER.glob("*.yaml") if path.stem != OWN_TASK)


def available(folder: Path) -> list[str]:
    """The tasks whose files are in `folder`, and files that can be scored as multiple choice."""
    known = {name: data_files(name)["test"] for name in task_names()}
    used = {file for name in known for file in data_files(name).values()}
    own = [path.stem for path in folder.glob("*.jsonl") if path.name not in used]
    return sorted([name for name, file in known.items() if (folder / file).is_file()] + own)


def data_files(name: str) -> dict[str, str]:
    """The file of each split of a task."""
    path = TASK_FOLDER / f"{name}.yaml"
    if path.is_file() and name != OWN_TASK:
        files: dict[str, str] = read_yaml(path)["dataset_kwargs"]["data_files"]
        return files
    return {"test": f"{name}.jsonl"}


def load_task(
    name: str, folder: Path, excluded: Collection[str] = (), record: ContaminationRecord | None = None
) -> LocalTask:
    """A task over the files in `folder`.

    Args:
        name: of a file in `tasks/`, or of a jsonl file in `folder`.
        folder: where the task's files are.
        excluded: keys of items to leave out (see `read_excluded`).
        record: knows which items are contaminated.

    Raises:
        InputError: the task or its file is not there; a line is no item; nothing is left; its items were not checked.
    """
    files = {split: folder / file for split, file in data_files(name).items()}
    if not files["test"].is_file():
        known = available(folder)
        place, problem = f"task '{name}'", f"its file {files['test']} is missing"
        raise InputError(place, problem, known=known, hint=nearest(name, known))
    template = TASK_FOLDER / f"{name}.yaml"
    raw = read_yaml(template if name in task_names() else TASK_FOLDER / f"{OWN_TASK}.yaml")
    del raw["dataset_path"], raw["dataset_kwargs"]
    chosen = raw["output_type"] == "multiple_choice"
    splits = {split: read_items(path, chosen=chosen) for split, path in files.items() if path.is_file()}
    every, names = len(splits["test"]), splits["test"].names
    states = record.states(name, files["test"], names) if record else []
    state_of = {id(item): state for item, state in zip(splits["test"], states, strict=False)}
    splits["test"] = Items(item for item in splits["test"] if not keys(name, item) & set(excluded))
    if not splits["test"]:
        raise InputError(str(files["test"]), f"has {every} items, of which none is left to score")
    if raw.get("fewshot_split") not in splits:
        raw["fewshot_split"] = "test"
    key = raw.pop("split_by", None)
    parts = _split(name, splits, key) if key else {name: splits}
    shown = raw["fewshot_split"]
    left = splits["test"]
    return LocalTask(
        name=name,
        configs=tuple(_config(part, raw, rows) for part, rows in parts.items()),
        items=len(left),
        excluded=every - len(left),
        chance=_chance(left) if chosen else None,
        examples=min(len(rows[shown]) for rows in parts.values()) - (shown == "test"),
        states={part: [state_of[id(item)] for item in rows["test"]] for part, rows in parts.items()} if record else {},
    )


def _chance(items: Items) -> float:
    return sum(1 / len(item["choices"]) for item in items) / len(items)


def keys(task: str, item: Item) -> set[str]:
    """The names by which an item can be excluded: its id, alone and after its task's name."""
    return {str(item["id"]), f"{task}/{item['id']}"} if "id" in item else set()


def read_excluded(path: Path) -> frozenset[str]:
    """Keys of contaminated items from a jsonl file: each line a key, or an object with `id` and perhaps `task`.

    Raises:
        InputError: the file cannot be read or a line is neither.
    """
    found = set()
    for place, value in _lines(path):
        if isinstance(value, dict) and "id" in value:
            task = value.get("task")
            found.add(f"{task}/{value['id']}" if task else str(value["id"]))
        elif isinstance(value, (str, int)):
            found.add(str(value))
        else:
            raise InputError(place, "expected an id, or an object with 'id' and perhaps 'task'")
    return frozenset(found)


def read_items(path: Path, *, chosen: bool) -> Items:
    """The items of a jsonl file; `chosen`: each needs choices and a label.

    Raises:
        InputError: it cannot be read; a line is not an item; it has none.
    """
    items = Items()
    for place, value in _lines(path):
        if not isinstance(value, dict):
            raise InputError(place, f"expected an object, found {type(value).__name__}")
        _check(value, place, chosen)
        items.append(value)
        items.lines.append(int(place.rpartition(":")[2]))
    if not items:
        raise InputError(str(path), "holds no items")
    return items


def _check(item: Mapping[str, Any], place: str, chosen: bool) -> None:
    """Refuse an item that would fail, or be scored wrongly, somewhere inside the harness."""
    if not isinstance(item.get("query", item.get("context")), str):
        raise InputError(place, "an item needs a text 'query' or 'context'")
    if not chosen:
        return
    label, choices = item.get("label"), item.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(one, str) and one for one in choices):
        raise InputError(place, "'choices' must be a list of texts")
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(choices):
        raise InputError(place, f"'label' must be an index into the {len(choices)} choices, found {label!r}")


def _lines(path: Path) -> list[tuple[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from error
    places = [(f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    return [(place, _json(line, place)) for place, line in places]


def _json(line: bytes, place: str) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise InputError(place, f"is not JSON in UTF-8: {error}") from error


def _config(name: str, raw: Mapping[str, Any], splits: Mapping[str, Items]) -> dict[str, Any]:
    """`custom_dataset` gives the harness the rows themselves: no loader, no cache, no network."""
    return {**raw, "task": name, "custom_dataset": lambda **_: dict(splits)}


def _split(name: str, splits: Mapping[str, Items], key: str) -> dict[str, dict[str, Items]]:
    """The rows by their value of the field `key`, as tasks `name_value`, sorted."""
    parts: dict[str, dict[str, Items]] = collections.defaultdict(lambda: {split: Items() for split in splits})
    for split, items in splits.items():
        for item in items:
            if key not in item:
                raise InputError(f"task '{name}'", f"an item has no '{key}'")
            parts[f"{name}_{item[key]}"][split].append(item)
    return {part: parts[part] for part in sorted(parts) if parts[part]["test"]}


def load_tasks(
    names: Sequence[str], folder: Path, excluded: Collection[str] = (), record: ContaminationRecord | None = None
) -> list[LocalTask]:
    """Several tasks; `all` stands for every task whose file is in `folder`.

    Raises:
        InputError: see `load_task`; no name is given.
    """
    wanted = list(dict.fromkeys(name for entry in names for name in (available(folder) if entry == "all" else [entry])))
    if not wanted:
        raise InputError(str(folder), "no task is named", known=available(folder))
    return [load_task(name, folder, excluded, record) for name in wanted]
