"""Every reason for which the code drops a document, read from the code, so that none can be forgotten."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pipeline
from pipeline import stages
from pipeline.stages.support.limits import Rule
from pipeline.steps.dedup import removal
from pipeline.steps.text_dedup import lines as line_dedup
from pipeline.steps.text_dedup import phases
from pipeline.steps.text_dedup import substrings as substring_dedup

PACKAGE = Path(pipeline.__file__).parent
STAGE_OF = {"sources/screen.py": "screen", "tools/remove.py": "takedown", "steps/tokenize/step.py": "rehydrate",
            "stages/datatrove.py": "datatrove.RegexFilter"}  # fmt: skip
"""Who drops outside `stages/`, where a file's name is its stage's; and the block that the pages are made for."""
COMPUTED = {"stages/support/limits.py", "stages/datatrove.py", "steps/text_dedup/phases.py"}
"""Where a reason is no literal: it is a Rule's, what datatrove's block says, or a constant of several steps."""


def reasons_in_code() -> set[str]:
    """`stage.reason` of every Drop in `pipeline/`, of every quality rule, and of deduplication."""
    found = {f"exact.{removal.EXACT}", f"minhash.{removal.NEAR}"}
    found |= {f"{removal.PREVIOUS_RUNS}.{reason}" for reason in (removal.EXACT, removal.NEAR)}
    found |= {f"{step.STEP.stage}.{phases.TOO_SHORT}" for step in (line_dedup, substring_dedup)}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        stage = STAGE_OF.get(name, path.stem if name.startswith("stages/") else name)
        found |= {f"{stage}.{reason}" for reason in drop_literals(path.read_text("utf-8"), name)}
    return found | {f"{stage}.{rule.reason}" for stage, rule in rules()}


def drop_literals(source: str, name: str) -> Iterator[str]:
    """The reasons of a module's `Drop(...)` calls.

    Raises:
        AssertionError: a reason is computed in a module from which that is not known.
    """
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Drop"):
            continue
        reason = node.args[0] if node.args else node.keywords[0].value
        literal = isinstance(reason, ast.Constant)
        assert literal or name in COMPUTED, f"{name}, line {node.lineno}: the reason is no literal; name it in COMPUTED"
        if isinstance(reason, ast.IfExp):
            reason = reason.orelse
        if isinstance(reason, ast.Constant):
            yield str(reason.value)


def rules() -> Iterator[tuple[str, Rule]]:
    """Every limit of the quality stages, with the stage's name."""
    for name in stages.names():
        for rule in getattr(stages.load(name), "RULES", ()):
            yield name, rule
