"""The commands that README.md and docs/*.md show, as someone would copy them."""

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
_HEADS = ("tokenmill", ".venv/bin/tokenmill", "make", "python", "torchrun", "duckdb")
_INDENTED = re.compile(rf" {{4,}}(\$ |(?:{'|'.join(map(re.escape, _HEADS))}) )")


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """One command on a page."""

    page: str
    line: int
    text: str
    """As it is typed, continued lines and comments included."""
    output: tuple[str, ...]
    """What the page shows below it."""

    @property
    def words(self) -> list[str]:
        """What the shell makes of it."""
        return shlex.split(self.text.replace("\\\n", " "), comments=True)

    @property
    def error(self) -> tuple[str, ...]:
        """The message that the page shows, of a command that is to fail."""
        return self.output if self.output and re.match(r"\w+Error: ", self.output[0]) else ()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def shown_commands(path: Path) -> Iterator[Shown]:
    """The commands of a page: lines with `$ ` in a console block, and indented lines that begin as a command does."""
    lines, number = path.read_text(encoding="utf-8").split("\n"), 0
    fenced = False
    while number < len(lines):
        line = lines[number]
        if line.lstrip().startswith("```"):
            fenced = not fenced and line.strip() == "```console"
        begins = line.startswith("$ ") if fenced else _INDENTED.match(line)
        if not begins:
            number += 1
            continue
        first, typed = number, [line.strip().removeprefix("$ ")]
        while typed[-1].endswith("\\"):
            number += 1
            typed.append(lines[number].strip())
        number += 1
        output = []
        while number < len(lines) and not _ends(lines[number], fenced):
            output.append(lines[number] if fenced else lines[number].removeprefix("    "))
            number += 1
        yield Shown(path.name, first + 1, "\n".join(typed), tuple(output))


def _ends(line: str, fenced: bool) -> bool:
    """Whether a line is no output any more."""
    if fenced:
        return line.startswith(("$ ", "```"))
    return not line.startswith("    ") or bool(_INDENTED.match(line))
