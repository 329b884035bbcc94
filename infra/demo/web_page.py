"""What the demo's web server serves: pages, and the template that gives them the shape of a web page."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DOCS_HOST = "docs.stdlib.example"
"""The documentation of the standard library."""
VILLAGE_HOST = "village.example"
"""The pages written for the demo."""
BLOCKED_HOST = "casino.blocked.example"
"""A domain that stands in `blocked-domains.txt`."""
ARCHIVE_HOST = "archive.example"
"""Three pages for the WARC file that gets damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One response of the server: the address it stands at and the bytes it answers with."""

    host: str
    path: str
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What a site puts around every page."""

    site: str
    links: Sequence[tuple[str, str]] = ()
    """Address and label of each entry of the navigation."""


def layout(title: str, main: str, frame: Frame, *, lang: str = "en", charset: str = "utf-8") -> str:
    """A whole HTML page: `main` (HTML) between the site's navigation and its footer."""
    entries = "".join(f'<li><a href="{html.escape(href)}">{html.escape(label)}</a></li>' for href, label in frame.links)
    footer = f'{html.escape(frame.site)} | <a href="/">Home</a> | Terms | Privacy'
    return (
        f'<!DOCTYPE html>\n<html lang="{lang}">\n<head>\n<meta charset="{charset}">\n'
        f"<title>{html.escape(title)}</title>\n</head>\n<body>\n<header><nav><ul>{entries}</ul></nav></header>\n"
        f"<main><article>\n<h1>{html.escape(title)}</h1>\n{main}\n</article></main>\n"
        f"<footer><p>{footer}</p></footer>\n</body>\n</html>\n"
    )
