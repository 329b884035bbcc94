"""XPath filters over class and id attributes, compiled to Python with remembered verdicts.

Extractors decide by expressions such as `.//*[self::div or self::p][re:test(@class, 'share|social')]`. libxml2 tests
every element anew, through an extension function for each `re:test`; but a page has few distinct class names, and
the same ones come back page after page. `compile_path` turns such an expression into a function that returns the very
same elements in the same order, and asks a regular expression only about values it has not met before.

The grammar is what such filters use: `or`, `and`, `not()`, `self::tag`, `@attribute`, `=`, `contains`, `starts-with`,
`translate`, `re:test`, `.//tag`. `test_compiled_xpath.py` compares with lxml on generated trees.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal

Element = Any
"""An lxml element."""
Find = Callable[[Element], list[Element]]
Test = Callable[[Element], bool]
ValueTest = Callable[[str], bool]
_First = Literal["in all", "in its parent"] | None

REMEMBERED = 4_000
"""Values an expression remembers for each attribute, so that memory stays bounded over any number of pages."""
REMEMBERED_CHARS = 200
"""A longer value is tested anew each time it is met."""


class UnsupportedPathError(ValueError):
    """The expression uses something outside the grammar."""


_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<name>@?[A-Za-z][\w:-]*)|(?P<number>\d+)|(?P<mark>\.//\*|\.//|[()\[\]=,|]))"
)


class _Screen(dict[str, bool | None]):
    """What the value of one attribute says of its element: selected, not selected, or None: ask the terms.

    Remembers the answer for each value met.
    """

    def __init__(self) -> None:
        self.certain: list[ValueTest] = []
        self.possible: list[ValueTest] = []

    def __missing__(self, value: str) -> bool | None:
        selected = any(test(value) for test in self.certain)
        answer = selected or (None if any(test(value) for test in self.possible) else False)
        if len(value) <= REMEMBERED_CHARS:
            if len(self) >= REMEMBERED:
                self.clear()
            self[value] = answer
        return answer


@functools.cache
def compile_path(path: str) -> Find:
    """A function from an element to the elements `path` selects below it, in document order.

    Raises:
        UnsupportedPathError: `path` is outside the grammar, or lacks the tags or attributes to search by.
    """
    return _Parser(path).parse()


class _Parser:
    """Recursive descent over the tokens of one path; every method consumes what it returns."""

    def __init__(self, path: str) -> None:
        self.path, self.tokens, self.at = path, list(_tokens(path)), 0

    def parse(self) -> Find:
        alternatives = [self.alternative()]
        while self.take("|"):
            alternatives.append(self.alternative())
        if self.at != len(self.tokens):
            raise self.unsupported()
        return alternatives[0] if len(alternatives) == 1 else _union(alternatives)

    def alternative(self) -> Find:
        """`steps`, `steps[1]` (the first in each parent) or `(steps)[1]` (the first of all)."""
        grouped = self.take("(")
        tags, tests = self.steps()
        if grouped:
            self.need(")")
        if not self.take("["):
            return _finder(tags, tests, None)
        self.need("1")
        self.need("]")
        return _finder(tags, tests, "in all" if grouped else "in its parent")

    def steps(self) -> tuple[tuple[str, ...], list[Test]]:
        tests: list[Test] = []
        if self.take(".//"):
            return (self.next(),), self.predicates(tests)
        self.need(".//*")
        tags = self.tag_predicate() if self.peek(1).startswith("self::") else ()
        return tags, self.predicates(tests)

    def tag_predicate(self) -> tuple[str, ...]:
        """`[self::div or self::p]`."""
        self.need("[")
        tags = [self.next()]
        while self.take("or"):
            tags.append(self.next())
        self.need("]")
        if not all(tag.startswith("self::") for tag in tags):
            raise self.unsupported()
        return tuple(tag.removeprefix("self::") for tag in tags)

    def predicates(self, tests: list[Test]) -> list[Test]:
        while self.peek() == "[" and self.peek(1) != "1":
            self.need("[")
            tests.append(self.disjunction())
            self.need("]")
        return tests

    def disjunction(self) -> Test:
        terms = [self.conjunction()]
        while self.take("or"):
            terms.append(self.conjunction())
        return _any(terms)

    def conjunction(self) -> Test:
        terms = [self.term()]
        while self.take("and"):
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else lambda element: all(term(element) for term in terms)

    def term(self) -> Test:
        if self.take("("):
            inner = self.disjunction()
            self.need(")")
            return inner
        if self.take(".//"):
            below = self.next()
            return lambda element: next(element.iterdescendants(below), None) is not None
        name = self.next()
        if name == "not":
            self.need("(")
            inner = self.disjunction()
            self.need(")")
            return lambda element: not inner(element)
        if name.startswith("self::"):
            tag = name.removeprefix("self::")
            return lambda element: bool(element.tag == tag)
        if name in ("contains", "starts-with", "re:test"):
            return self.text_test(name)
        if name.startswith("@"):
            return self.attribute_test(name[1:])
        raise self.unsupported()

    def attribute_test(self, attribute: str) -> Test:
        """`@name` is there, or `@name = 'literal'`."""
        if self.take("="):
            wanted = self.literal()
            return _Term(attribute, lambda value: value == wanted)
        return _Term(attribute, lambda _: True)

    def text_test(self, function: str) -> Test:
        """`contains(text, 'literal')` and its like."""
        self.need("(")
        attributes, change = self.text()
        self.need(",")
        literal = self.literal()
        flags = self.literal() if self.take(",") else ""
        self.need(")")
        test = _string_test(function, literal, flags)
        check = (lambda value: test(change(value))) if change else test
        if check(""):  # it would hold for every element without the attribute
            raise self.unsupported()
        return _Term(attributes[0], check) if len(attributes) == 1 else _FirstOf(attributes, check)

    def text(self) -> tuple[list[str], Callable[[str], str] | None]:
        """`@a`, `@a|@b` (the one that stands first in the page), or `translate(@a, 'AB', 'ab')`."""
        if self.take("translate"):
            self.need("(")
            attribute = self.next()
            self.need(",")
            old = self.literal()
            self.need(",")
            new = self.literal()
            self.need(")")
            if len(old) != len(new):
                raise self.unsupported()
            table = str.maketrans(old, new)
            return [attribute.removeprefix("@")], lambda value: value.translate(table)
        attributes = [self.next()]
        while self.take("|"):
            attributes.append(self.next())
        if not all(attribute.startswith("@") for attribute in attributes):
            raise self.unsupported()
        return [attribute[1:] for attribute in attributes], None

    def literal(self) -> str:
        token = self.next()
        if token[0] not in "'\"":
            raise self.unsupported()
        return token[1:-1]

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def take(self, token: str) -> bool:
        found = self.peek() == token
        self.at += found
        return found

    def need(self, token: str) -> None:
        if not self.take(token):
            raise self.unsupported()

    def next(self) -> str:
        token = self.peek()
        if not token:
            raise self.unsupported()
        self.at += 1
        return token

    def unsupported(self) -> UnsupportedPathError:
        return UnsupportedPathError(f"token {self.at} of {self.path!r}: {self.peek()!r}")


class _Term:
    """A test of one attribute's value; false where the attribute is missing."""

    def __init__(self, attribute: str, test: ValueTest) -> None:
        self.attribute, self.test = attribute, test

    def __call__(self, element: Element) -> bool:
        value = element.get(self.attribute)
        return value is not None and self.test(value)


class _FirstOf:
    """A test of that one of several attributes which stands first in the page's source."""

    def __init__(self, attributes: Iterable[str], test: ValueTest) -> None:
        self.attributes, self.test = tuple(attributes), test

    def __call__(self, element: Element) -> bool:
        for name, value in element.items():
            if name in self.attributes:
                return self.test(value)
        return False


def _any(terms: list[Test]) -> Test:
    """True where a term is. Remembered screens decide for nearly all elements; the terms are asked about the rest."""

    def exact(element: Element) -> bool:
        return any(term(element) for term in terms)

    by_attribute: dict[str, _Screen] = {}
    for term in terms:
        if isinstance(term, _Term):
            by_attribute.setdefault(term.attribute, _Screen()).certain.append(term.test)
        elif isinstance(term, _FirstOf):
            for name in term.attributes:
                by_attribute.setdefault(name, _Screen()).possible.append(term.test)
        else:
            return exact if len(terms) > 1 else term
    screens = list(by_attribute.items())

    def screened(element: Element) -> bool:
        get = element.get
        for name, screen in screens:
            value = get(name)
            if value is not None:
                answer = screen[value]
                if answer:
                    return True
                if answer is None:
                    return exact(element)
        return False

    return screened


def _finder(tags: tuple[str, ...], tests: list[Test], first: _First) -> Find:
    def select(root: Element) -> Iterator[Element]:
        elements = root.iterdescendants(*(tags or ("*",)))
        return functools.reduce(lambda found, test: filter(test, found), tests, elements)

    if first == "in all":
        return lambda root: list(islice(select(root), 1))
    if first == "in its parent":
        return lambda root: _first_of_each_parent(select(root))
    return lambda root: list(select(root))


def _first_of_each_parent(elements: Iterable[Element]) -> list[Element]:
    found: dict[Element, Element] = {}
    for element in elements:
        found.setdefault(element.getparent(), element)
    return list(found.values())


def _union(finds: list[Find]) -> Find:
    """The elements of several finders, each once, in document order."""

    def find(root: Element) -> list[Element]:
        found = {element for part in finds for element in part(root)}
        if len(found) < 2:
            return list(found)
        return [element for element in root.iterdescendants("*") if element in found]

    return find


def _tokens(path: str) -> Iterator[str]:
    at = 0
    while path[at:].strip():
        match = _TOKEN.match(path, at)
        if match is None:
            raise UnsupportedPathError(f"at {path[at : at + 20]!r} of {path!r}")
        yield match[match.lastgroup or 0]
        at = match.end()


def _string_test(function: str, literal: str, flags: str) -> ValueTest:
    if function == "contains":
        return lambda value: literal in value
    if function == "starts-with":
        return lambda value: value.startswith(literal)
    search = re.compile(literal, re.IGNORECASE if "i" in flags else 0).search
    return lambda value: search(value) is not None
