"""The steps of a build, each said once. Whatever goes over the steps of a run reads this table.

An optional step is a module here with a function `run`, a config class of its own, and a line in OPTIONAL. The section
of a config, the reuse of previous runs, `verify`, `trace`, the report and the explorer follow from that line.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the table is read where no step is run
    import pyarrow as pa

    from pipeline.steps.context import Commits, Context, Part


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step, as the rest of the tool knows it."""

    name: str
    """Of its ledger, and of the step in `dropped` and `quarantine`."""
    sections: tuple[str, ...]
    """Of the config: they decide what the step makes of what the one before it made."""
    folder: str
    """Where its documents go, below OUT."""
    task_per_input: bool = False
    """It has a task for each input, called by the input's number, that looks at nothing but this input."""
    module: str = ""
    """Of an optional step: where its function `run` is."""
    settings: str = ""
    """Of an optional step: module and name of the class of its section."""
    stage: str = ""
    """Of an optional step: its stage in `dropped`, and in the signals of documents."""
    signals: tuple[str, ...] = ()
    """Of an optional step: what it counts in each document, under `stage`; the last one is `characters`. Its commits
    count what `text_dedup.phases.write_part` counts, which `verify` and the report read."""

    @property
    def optional(self) -> bool:
        """Whether a run may do without it."""
        return bool(self.module)

    def enabled(self, config: Mapping[str, object]) -> bool:
        """Whether a run with this resolved config does anything in the step."""
        return config.get(self.name) is not None

    def settings_class(self) -> type:
        """The class of an optional step's section."""
        module, _, name = self.settings.rpartition(".")
        settings: type = getattr(importlib.import_module(module), name)
        return settings

    def run(self, context: "Context", parts: "Sequence[Part]", section: object, signals: "pa.DataType") -> "Commits":
        """Run an optional step over the parts that the step before it committed.

        Args:
            context: of the run.
            parts: what it reads.
            section: an instance of `settings_class()`.
            signals: type of those of the documents it writes, its own included.
        """
        commits: Commits = importlib.import_module(self.module).run(context, parts, section, signals)
        return commits


def _optional(name: str, module: str, settings: str, *, stage: str, signals: tuple[str, ...]) -> Step:
    """An optional step: `module` in pipeline.steps, `settings` in pipeline."""
    return Step(name=name, sections=(name,), folder=f"steps/{name}/documents", module=f"pipeline.steps.{module}",
                settings=f"pipeline.{settings}", stage=stage, signals=signals)  # fmt: skip


EXTRACT = Step(
    name="extract", sections=("input", "screen", "extract"), folder="steps/extract/documents", task_per_input=True
)
FILTER = Step(name="filter", sections=("filter",), folder="steps/filter/documents", task_per_input=True)
DEDUP = Step(name="dedup", sections=("dedup",), folder="steps/dedup/documents")
OPTIONAL = (
    _optional("line_dedup", "text_dedup.lines", "dedup.lines.LineDedup",
              stage="repeated_lines", signals=("lines", "characters")),
    _optional("substring_dedup", "text_dedup.substrings", "dedup.substrings.SubstringDedup",
              stage="repeated_spans", signals=("spans", "words", "characters")),
)  # fmt: skip
TOKENIZE = Step(name="tokenize", sections=("tokenize",), folder="documents", task_per_input=True)

STEPS = (EXTRACT, FILTER, DEDUP, *OPTIONAL, TOKENIZE)
"""In the order in which documents go through them."""


def step(name: str) -> Step:
    """The step called `name`; raises KeyError where there is none."""
    return {entry.name: entry for entry in STEPS}[name]


def steps_before(name: str) -> tuple[Step, ...]:
    """The steps whose documents a step may have read, the likeliest first: the optional ones can be left out."""
    names = [entry.name for entry in STEPS]
    before = STEPS[: names.index(name)] if name in names else ()
    last = max((number for number, entry in enumerate(before) if not entry.optional), default=0)
    return tuple(reversed(before[last:]))


def owner_of(ledger: str) -> Step:
    """The step that a ledger belongs to: `dedup-edges` is one of `dedup`; those after the last step are its own."""
    return next((entry for entry in STEPS if ledger.partition("-")[0] == entry.name), TOKENIZE)
