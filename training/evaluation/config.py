"""What an evaluation measures."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig:
    """What is measured."""

    text: tuple[str, ...] = ()
    """Bits per byte of each: a `tokens/` or run folder, or a .txt, .jsonl or .parquet file."""
    tasks: tuple[str, ...] = ()
    """Benchmarks by name; `all` stands for every one whose file is in `tasks_dir`."""
    tasks_dir: str | None = None
    """The folder of the benchmarks' jsonl files."""
    limit: int | None = None
    """Items of each benchmark and documents of each text, from the start. null: all."""
    fewshot: int | None = None
    """Solved examples put before each item. null: none."""
    exclude: str | None = None
    """A jsonl file of contaminated items to leave out: ids, or objects with id and perhaps task."""
    exclude_contaminated: str | None = None
    """A run folder of `build` that looked for the tasks' items (`decontaminate`): scores are also given without those
    that stand on pages it kept."""
    chat: bool = False
    """Ask in the chat format, as a user."""
    bos: bool = False
    """Put the end-of-text token before every context; the harness's own models do not."""
    batch_tokens: int = 8192
    """The most that goes through the model at a time, padding included."""
    seed: int = 1234
    """Of the choice of solved examples."""
    device: str = "auto"
    """auto, cpu or cuda."""
    output: str | None = None
    """Where the JSON goes. null: a new file beside the checkpoints, eval/STEP-WHAT.json."""

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("fewshot", 0), ("batch_tokens", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: must be at least {least}, got {value}")
        if self.tasks and self.tasks_dir is None:
            raise ValueError("tasks_dir: is needed for tasks: the folder of their jsonl files")
        if self.exclude_contaminated and not self.tasks:
            raise ValueError("exclude_contaminated: is about benchmarks, and no tasks are named")
        if not self.tasks and not self.text:
            raise ValueError("tasks: nothing to measure; name tasks or text")
