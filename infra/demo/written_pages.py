"""The pages written for the demo, so that every stage of the pipeline meets what it is there for.

`pages/*.txt` hold the words: fields (`title:`, `lang:`, `charset:`, `host:`, `path:`), an empty line, paragraphs. Made
from them here: duplicates, near duplicates, redirects, and answers that are no page.
"""

import html
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from web_page import ARCHIVE_HOST, BLOCKED_HOST, VILLAGE_HOST, Frame, Page, layout

FOLDER = Path(__file__).parent / "pages"
SITES = {
    VILLAGE_HOST: Frame(site="The village on the web", links=[("/", "Home"), ("/timetable.pdf", "Buses")]),
    BLOCKED_HOST: Frame(site="The lucky wheel", links=[("/", "Home"), ("/casino-bonus.html", "Bonus")]),
    ARCHIVE_HOST: Frame(site="The village archive", links=[("/", "Home")]),
}
REVISED = ("rivers", "lighthouse", "bees", "compost")
"""Articles of which an older edition is still on the web: a near duplicate."""
EDITION = "This is the edition of last year, which is kept here for readers who have marked it in their browsers."


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """One file of `pages/`."""

    name: str
    title: str
    paragraphs: tuple[str, ...]
    lang: str = "en"
    charset: str = "utf-8"
    host: str = VILLAGE_HOST
    path: str

    @classmethod
    def read(cls, file: Path) -> "Text":
        """A file taken apart."""
        head, _, body = file.read_text(encoding="utf-8").partition("\n\n")
        fields = dict(line.split(": ", 1) for line in head.splitlines())
        paragraphs = tuple(block.strip() for block in body.split("\n\n"))
        return cls(name=file.stem, paragraphs=paragraphs, **{"path": f"/{file.stem}.html", **fields})

    def page(self, *, path: str | None = None, frame: Frame | None = None, paragraphs: tuple[str, ...] = ()) -> Page:
        """The article as a web page, perhaps at another address, in another frame or with other paragraphs."""
        main = "\n".join(map(paragraph_html, paragraphs or self.paragraphs))
        whole = layout(self.title, main, frame or SITES[self.host], lang=self.lang, charset=self.charset)
        # Shift-JIS and Latin-1 pages often come with nothing but a meta tag to tell their charset.
        told = "" if self.charset in {"shift_jis", "iso-8859-1"} else f"; charset={self.charset}"
        body = whole.encode(self.charset, "xmlcharrefreplace")
        return Page(host=self.host, path=path or self.path, body=body, content_type=f"text/html{told}")


def pages() -> Iterator[Page]:
    """Every page of the three hosts, their robots.txt included."""
    texts = {file.stem: Text.read(file) for file in sorted(FOLDER.glob("*.txt"))}
    made = [text.page() for text in texts.values()]
    made += [*duplicates(texts), *no_articles()]
    yield from made
    for host in (VILLAGE_HOST, ARCHIVE_HOST):
        yield index(host, [page.path for page in made if page.host == host])
    yield Page(
        host=VILLAGE_HOST, path="/robots.txt", body=b"User-agent: *\nDisallow: /private/\n", content_type="text/plain"
    )


def paragraph_html(text: str) -> str:
    """A paragraph, or a list where each line starts with `- `."""
    if text.startswith("- "):
        entries = (html.escape(line.removeprefix("- ")) for line in text.splitlines())
        return f"<ul>{''.join(f'<li>{entry}</li>' for entry in entries)}</ul>"
    return f"<p>{html.escape(text)}</p>"


def duplicates(texts: dict[str, Text]) -> Iterator[Page]:
    """Copies with the same bytes, copies with the same text in another frame, and older editions."""
    for name in ("tides", "paper"):
        yield texts[name].page(path=f"/mirror/{name}.html")
    for name in ("knots", "north"):
        yield texts[name].page(path=f"/print/{name}.html", frame=Frame(site="Printed from the village's web site"))
    for name in REVISED:
        text = texts[name]
        yield text.page(
            path=f"/last-year/{name}.html", paragraphs=(*text.paragraphs[:-1], EDITION, text.paragraphs[-1])
        )


def no_articles() -> Iterator[Page]:
    """Redirects, answers that are no HTML, an empty page, and one that robots.txt keeps to itself."""
    for path, target in (("/old/tides.html", "/tides.html"), ("/neighbours.html", "http://elsewhere.example/")):
        yield Page(host=VILLAGE_HOST, path=path, status=301, headers={"Location": target})
    plain = b"The bus leaves the square at ten minutes past every hour.\n"
    yield Page(host=VILLAGE_HOST, path="/notices.txt", body=plain, content_type="text/plain; charset=utf-8")
    yield Page(
        host=VILLAGE_HOST, path="/weather.json", body=b'{"wind": "west", "rain": true}', content_type="application/json"
    )
    yield Page(
        host=VILLAGE_HOST,
        path="/timetable.pdf",
        body=pdf("The bus leaves at ten past."),
        content_type="application/pdf",
    )
    yield Page(host=VILLAGE_HOST, path="/crest.png", body=png(), content_type="image/png")
    yield Page(host=VILLAGE_HOST, path="/empty.html")
    yield Page(host=VILLAGE_HOST, path="/private/draft.html", body=b"<html><p>Nobody is meant to see this.</p></html>")


def index(host: str, paths: list[str]) -> Page:
    """The front page: links to everything on the host, and to one page that is not there."""
    links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in [*paths, "/missing.html"])
    main = f"<p>Everything there is to read, in no order at all.</p><ul>{links}</ul>"
    return Page(host=host, path="/", body=layout(SITES[host].site, main, SITES[host]).encode())


def pdf(text: str) -> bytes:
    """A PDF of one page with one line on it."""
    stream = f"BT /F1 18 Tf 72 720 Td ({text}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        " /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
    ]
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode("ascii")


def png() -> bytes:
    """A green square of eight by eight."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x20\x80\x40" * 8 for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
