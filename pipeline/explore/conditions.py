"""Which rows are wanted, in three forms: as a filter over a batch, as columns to read, as row groups to pass over."""

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract.errors import nearest
from pipeline.explore.folder import NUMBERS
from pipeline.explore.request import PageError
from pipeline.explore.scan import Range

MOST = 8
Operator = Literal["<", "<=", ">", ">=", "="]
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal, "=": pc.equal}  # fmt: skip
_REACHED: Mapping[str, Callable[[Range, float], bool]] = {
    "<": lambda found, value: bool(operator.lt(found[0], value)),
    "<=": lambda found, value: bool(operator.le(found[0], value)),
    ">": lambda found, value: bool(operator.gt(found[1], value)),
    ">=": lambda found, value: bool(operator.ge(found[1], value)),
    "=": lambda found, value: bool(found[0] <= value <= found[1]),
}
_COMPARISON = re.compile(r"([A-Za-z0-9_.]+)\s*(<=|>=|<|>|=)\s*(-?[0-9]+(?:\.[0-9]*)?(?:[eE]-?[0-9]{1,2})?)")


class Condition(Protocol):
    """Something that a row must fulfil."""

    @property
    def column(self) -> str:
        """Path of the column that it reads."""

    def mask(self, table: pa.Table) -> Any:
        """Which rows fulfil it, shape (rows,)."""

    def possible(self, found: Range) -> bool:
        """Whether a row group whose values lie in this range may hold such a row."""


@dataclasses.dataclass(frozen=True, slots=True)
class Compared:
    """A number against a limit."""

    name: str
    sign: Operator
    value: float

    @property
    def column(self) -> str:
        """See Condition."""
        return path_of(self.name)

    def mask(self, table: pa.Table) -> Any:
        """See Condition."""
        return pc.fill_null(_COMPARE[self.sign](numbers(table, self.name), self.value), False)

    def possible(self, found: Range) -> bool:
        """See Condition."""
        return _REACHED[self.sign](found, self.value)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.value:g}"


@dataclasses.dataclass(frozen=True, slots=True)
class Equal:
    """A string that is this one."""

    column: str
    value: str

    def mask(self, table: pa.Table) -> Any:
        """See Condition."""
        return pc.fill_null(pc.equal(strings(table, self.column), self.value), False)

    def possible(self, found: Range) -> bool:
        """See Condition."""
        return bool(found[0] <= self.value <= found[1])


@dataclasses.dataclass(frozen=True, slots=True)
class InDomain:
    """An address whose host is this domain or one of its subdomains."""

    domain: str
    column: str = "url"

    def mask(self, table: pa.Table) -> Any:
        """See Condition."""
        host = re.escape(self.domain.lower().strip("."))
        pattern = rf"^[^:/?#]+://(?:[^/?#@]*@)?(?:[^/?#:@]*\.)?{host}\.?(?:[:/?#]|$)"
        return pc.fill_null(pc.match_substring_regex(strings(table, self.column), pattern, ignore_case=True), False)

    def possible(self, found: Range) -> bool:  # noqa: ARG002 - addresses are in no order that says anything
        """See Condition."""
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Holds:
    """A text with these words in it, upper and lower case alike."""

    words: str
    column: str = "text"

    def mask(self, table: pa.Table) -> Any:
        """See Condition."""
        return pc.fill_null(pc.match_substring(strings(table, self.column), self.words, ignore_case=True), False)

    def possible(self, found: Range) -> bool:  # noqa: ARG002 - the order of texts says nothing
        """See Condition."""
        return True


def parse(text: str, known: Sequence[str]) -> tuple[Compared, ...]:
    """`gopher_quality.words<80, c4.sentences>=5` as conditions.

    Raises:
        PageError: 400: it is not of this form, or names no column.
    """
    found, end = [], 0
    for match in _COMPARISON.finditer(text):
        if text[end : match.start()].strip(" ,;\t"):
            break
        found.append(Compared(_known(match[1], known), match[2], float(match[3])))  # type: ignore[arg-type]
        end = match.end()
    if text[end:].strip(" ,;\t"):
        raise PageError(400, f"signals: '{text[end:].strip()[:80]}' is not like gopher_quality.words<80", known)
    if len(found) > MOST:
        raise PageError(400, f"signals: {len(found)} conditions are given, at most {MOST} are read")
    return tuple(found)


def _known(name: str, known: Sequence[str]) -> str:
    if name not in known:
        meant = nearest(name, known)
        raise PageError(400, f"signals: there is no '{name}'{f'; {meant}' if meant else ''}", known)
    return name


def path_of(name: str) -> str:
    """Path of a number's column."""
    return name if name in NUMBERS else f"signals.{name}"


def numbers(table: pa.Table, name: str) -> Any:
    """The values of a signal or number, as float64; nulls where the part has none."""
    try:
        if name in NUMBERS:
            return pc.cast(table[name], pa.float64())
        stage, _, signal = name.rpartition(".")
        return pc.cast(pc.struct_field(table["signals"], [stage, signal]), pa.float64())
    except (KeyError, pa.ArrowInvalid):
        return pa.nulls(len(table), pa.float64())


def strings(table: pa.Table, name: str) -> Any:
    """A column of strings; nulls where the part has none."""
    return table[name] if name in table.column_names else pa.nulls(len(table), pa.string())


def chosen(table: pa.Table, conditions: Sequence[Condition]) -> Any:
    """Numbers of the rows that fulfil all conditions."""
    mask = pa.repeat(pa.scalar(True), len(table))
    for condition in conditions:
        mask = pc.and_(mask, condition.mask(table))
    return pc.indices_nonzero(mask)


def excluder(conditions: Sequence[Condition]) -> Callable[[Mapping[str, Range]], bool]:
    """Whether a row group can be passed over."""

    def excludes(found: Mapping[str, Range]) -> bool:
        return any(item.column in found and not item.possible(found[item.column]) for item in conditions)

    return excludes
