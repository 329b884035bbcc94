"""Docstrings as HTML: paragraphs joined to one line, lists, and preformatted code, told apart by their layout."""

import html
import re
import textwrap
from collections.abc import Sequence

BULLET = re.compile(r"(?:[-*•]|\d{1,2}[.)])\s+")
FIELD = re.compile(r":\w[\w *]*:|@\w+[: ]|[\w*.]+\s+--?\s")
UNDERLINE = re.compile(r"^(\S.*)\n[=\-~*\"^]{3,}$", re.MULTILINE)
SPOKEN = re.compile(r"[A-Za-z]{2,}")


def docstring_html(text: str, signature: str = "") -> str:
    """HTML of a docstring that `inspect.cleandoc` has unindented, or of reStructuredText near enough to one.

    A `signature` opens the first paragraph, as a definition does: on a line of its own it would be a line of one or
    two words, and filters take those for menu entries.
    """
    blocks = re.split(r"\n\s*\n", UNDERLINE.sub(r"\n\1\n", text.expandtabs()).strip("\n"))
    made = "\n".join(block_html(block) for block in blocks if block.strip())
    if not signature:
        return made
    lead = f"<p><code>{html.escape(signature)}</code>"
    return f"{lead}: {made.removeprefix('<p>')}" if made.startswith("<p>") else f"{lead}</p>\n{made}"


def block_html(block: str) -> str:
    """One block (lines between blank lines): a list, preformatted text, or a paragraph."""
    lines = block.splitlines()
    first = lines[0].strip()
    for start in (BULLET, FIELD):
        if start.match(first) and (start is BULLET or len(lines) > 1):
            return list_html(items(lines, start))
    if not lines[0].startswith(" ") and all(line.startswith(" ") for line in lines[1:]) and len(lines) > 2:
        opening, rest = lines[0], textwrap.dedent("\n".join(lines[1:]))
        if opening.endswith(":") and not is_code([opening]):
            return f"<p>{html.escape(opening)}</p>\n{block_html(rest)}"
    if terms := definitions(lines):
        return list_html(terms)
    if is_code(lines):
        return f"<pre>{html.escape(block)}</pre>"
    return f"<p>{html.escape(' '.join(block.split()))}</p>"


def is_code(lines: Sequence[str]) -> bool:
    """Doctests, text in columns, and indented lines that are no sentence."""
    if lines[0].lstrip().startswith(">>>") or any(re.search(r"\S {3,}\S", line) for line in lines):
        return True
    indents = {len(line) - len(line.lstrip()) for line in lines}
    prose = sum(len(SPOKEN.findall(line)) for line in lines) >= 5 * len(lines)
    return indents != {0} and not (len(indents) == 1 and prose)


def definitions(lines: Sequence[str]) -> list[str]:
    """Terms and what is told of each on the indented lines below it, as one line each; empty for anything else."""
    unindented = textwrap.dedent("\n".join(lines)).splitlines()
    found: list[list[str]] = []
    for line in unindented:
        if line.startswith(" ") and found:
            found[-1].append(line.strip())
        else:
            found.append([line.strip()])
    told = [line for _, *below in found for line in below]
    depths = {len(line) - len(line.lstrip()) for line in unindented}
    is_prose = sum(len(SPOKEN.findall(line)) for line in told) >= 4 * len(told)
    if len(depths) != 2 or not all(len(item) > 1 for item in found) or not is_prose or ">>>" in "".join(told):
        return []
    return [f"{term.rstrip(':')}: {' '.join(below)}" for term, *below in found]


def items(lines: Sequence[str], start: re.Pattern[str]) -> list[str]:
    """Lines joined so that each item begins at a match of `start`."""
    found: list[str] = []
    for line in (line.strip() for line in lines):
        if found and not start.match(line):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found


def list_html(entries: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(entry)}</li>' for entry in entries)}</ul>"


def listing(names: Sequence[str]) -> str:
    """Names in a sentence: `a`, `b` and `c`."""
    shown = [f"<code>{html.escape(name)}</code>" for name in names]
    return ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else "".join(shown)
