"""Conversations about the standard library for supervised fine-tuning, made from its docstrings.

The same Python gives the same conversations; which form a question takes is drawn from a hash of the name it is about.
"""

import hashlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from stdlib_members import docstring, members, modules, signature

SYSTEM = "You answer questions about the Python standard library, briefly and correctly."
LETTERS = "ABCD"


class Fact(NamedTuple):
    """A function or class and what its docstring says first."""

    module: str
    name: str
    kind: str
    """`function` or `class`."""
    call: str
    """The name with its arguments."""
    sentence: str

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}"


def conversations(count: int = 600) -> list[dict[str, Any]]:
    """`{"id", "messages": [{"role", "content"}, ...]}`, at most `count`, in the order of a hash."""
    known = list(facts())
    chosen = sorted(known, key=lambda fact: draw("order", fact.full))[:count]
    names = sorted({fact.module for fact in known})
    return [{"id": f"stdlib-{fact.full}", "messages": conversation(fact, names)} for fact in chosen]


def facts() -> Iterator[Fact]:
    """Public functions and classes whose docstring begins with one whole sentence."""
    for name, module in modules().items():
        if name.startswith("_"):
            continue
        found = members(module)
        for key, value in [*found.routines, *found.classes]:
            sentence = first_sentence(docstring(value))
            if sentence:
                kind = "class" if inspect.isclass(value) else "function"
                yield Fact(name, key, kind, signature(key, value), sentence)


def first_sentence(text: str) -> str | None:
    """The first sentence of a docstring, or None where it begins with something else or is out of proportion."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<=[a-z)'\"`][.])\s(?=[A-Z`'\"])", paragraph)[0]
    good = re.fullmatch(r"[A-Z][a-z]+ [^\n]{20,240}\.", sentence) and "->" not in sentence
    return sentence if good else None


def conversation(fact: Fact, modules: list[str]) -> list[dict[str, str]]:
    """One to three questions about a fact."""
    forms = [explain(fact), name_it(fact), explain(fact) + show_call(fact), choose(fact, modules)]
    turns = forms[draw("form", fact.full) % len(forms)]
    system = [{"role": "system", "content": SYSTEM}] if draw("system", fact.full) % 4 == 0 else []
    roles = ("user", "assistant")
    return system + [{"role": roles[i % 2], "content": content} for i, content in enumerate(turns)]


def explain(fact: Fact) -> list[str]:
    asks = (f"What does `{fact.full}` do?", f"What is the {fact.kind} `{fact.full}` for?", f"Explain `{fact.full}`.")
    return [asks[draw("ask", fact.full) % len(asks)], fact.sentence]


def show_call(fact: Fact) -> list[str]:
    return ["Which arguments does it take?", f"It is called as `{fact.call}`."]


def name_it(fact: Fact) -> list[str]:
    ask = f'Which {fact.kind} of the module `{fact.module}` is described like this? "{fact.sentence}"'
    return [ask, f"That is `{fact.full}`."]


def choose(fact: Fact, modules: list[str]) -> list[str]:
    """A question with four lettered options."""
    others = sorted((name for name in modules if name != fact.module), key=lambda name: draw(fact.full, name))[:3]
    options = sorted([fact.module, *others], key=lambda name: draw("option", fact.full + name))
    lines = "\n".join(f"{letter}. {name}" for letter, name in zip(LETTERS, options, strict=True))
    return [
        f"Which module has the {fact.kind} `{fact.name}`?\n{lines}",
        f"{LETTERS[options.index(fact.module)]}. {fact.module}",
    ]


def draw(purpose: str, key: str) -> int:
    """A number that looks random and is always the same."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, key=purpose.encode()[:64]).digest(), "big")
