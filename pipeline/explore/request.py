"""The parameters of a request, checked one by one; and the errors that become pages."""

import dataclasses
import re
import urllib.parse
from collections.abc import Collection, Mapping, Sequence

LONGEST = 1024
"""Characters of a parameter's value."""
MOST = 24
"""Parameters of a request."""


class PageError(Exception):
    """An answer that is not 200.

    Args:
        status: of HTTP.
        problem: what is wrong.
        known: what would have been right.
    """

    def __init__(self, status: int, problem: str, known: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.status, self.problem, self.known = status, problem, tuple(known)


@dataclasses.dataclass(frozen=True, slots=True)
class RequestParameters:
    """The parameters of a request."""

    values: Mapping[str, str]

    @classmethod
    def parse(cls, query: str) -> "RequestParameters":
        """The parameters of a query string; empty values count as not given.

        Raises:
            PageError: 400: too many, too long, given twice, or no UTF-8.
        """
        try:
            pairs = urllib.parse.parse_qsl(query, max_num_fields=MOST, errors="strict")
        except ValueError as error:
            raise PageError(400, f"the query cannot be read: {error}") from error
        names = [name for name, _ in pairs]
        for name, value in pairs:
            if len(value) > LONGEST:
                raise PageError(400, f"{name}: is {len(value)} characters long, at most {LONGEST} are read")
            if names.count(name) > 1:
                raise PageError(400, f"{name}: is given more than once")
        return cls(dict(pairs))

    def only(self, *names: str) -> "RequestParameters":
        """Itself.

        Raises:
            PageError: 400: there is a parameter that this page does not know.
        """
        for name in self.values:
            if name not in names:
                raise PageError(400, f"there is no parameter '{name}' here", sorted(names))
        return self

    def text(self, name: str, default: str = "") -> str:
        """A value as it is, without white space around it."""
        return self.values.get(name, default).strip()

    def choice(self, name: str, known: Collection[str], default: str) -> str:
        """One of the known values, or `default`."""
        value = self.text(name, default)
        if value != default and value not in known:
            raise PageError(400, f"{name}: '{value}' is not known", list(known)[:40])
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 0 to `most`."""
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,12}", value) or int(value) > most:
            raise PageError(400, f"{name}: '{value}' is not a whole number from 0 to {most:,}")
        return int(value)
