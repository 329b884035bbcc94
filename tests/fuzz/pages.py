"""What strangers write: HTTP messages, HTML, texts, addresses, robots.txt. A document or a reason comes of each."""

import re
import urllib.parse

import seeds
from case import Case, Target, promise
from mutate import TOKENS, mangle, mangle_text

from pipeline import stages
from pipeline.crawler.robots import parse_robots
from pipeline.crawler.url import find_links, parse_url
from pipeline.document import Document, Drop, QualityStage, prepare
from pipeline.extractor import layout
from pipeline.extractor.parsed_page import parse
from pipeline.sources.charset import decode
from pipeline.sources.screen import storable
from pipeline.sources.sniff import sniff
from pipeline.sources.warc.http import parse_response
from pipeline.stages.language_id import LanguageId
from pipeline.stages.language_prefilter import LanguagePrefilter
from pipeline.stages.main_text import MainText
from pipeline.stages.text_repair import TextRepair
from pipeline.stages.url_filter import UrlFilter
from pipeline.steps.parts import Chain
from pipeline.tools.trace import in_domain

MAX_BODY = 1 << 20
EXTRACT = (LanguagePrefilter(), MainText(engine="resiliparse"), TextRepair(), LanguageId(keep=None))
LEARNED = (MainText(engine="blocks"), TextRepair())
SLOW_EXTRACT = (MainText(engine="trafilatura"), TextRepair())
TEXT_STAGES = ("gopher_repetition", "gopher_quality", "c4", "fineweb", "text_repair", "pii")
LANGUAGES = ("en", "de", "zh", "ja", "th", "ar", "", "xx", "en-US", "\0")


def _http(case: Case) -> str:
    found = parse_response(mangle(case.draw, case.draw.choice(seeds.responses()), seeds.responses()), MAX_BODY)
    promise(len(found.body) <= MAX_BODY, f"a body of {len(found.body)} bytes is over its bound")
    decoded = decode(found.body, found.charset)
    promise(decoded.replaced == decoded.text.count("\ufffd"), "replacements are miscounted")
    decoded.text.encode("utf-8")
    promise("/" in sniff(found.body), "a body is of no type")
    return found.fault or f"{found.status is not None} {decoded.charset}"


def _html(case: Case) -> str:
    """A page through extraction, by the fast engine mostly."""
    text = decode(mangle(case.draw, case.draw.choice(seeds.htmls()), seeds.htmls(), 400_000), None).text
    chosen = SLOW_EXTRACT if case.draw.random() < 0.2 else EXTRACT
    case.file("page.html", text.encode())
    doc = Document(id="fuzz", url=case.draw.choice(seeds.urls()), html=text.replace("\0", ""))
    return _fate(doc, chosen)


def _blocks(case: Case) -> str:
    """A page through the learned extractor: its blocks follow each other, its elements stand within one another."""
    page = decode(mangle(case.draw, case.draw.choice(seeds.htmls()), seeds.htmls(), 400_000), None).text.encode()
    case.file("page.html", page)
    parsed = parse(page)
    starts, ends = parsed.blocks[:, layout.BL_START], parsed.blocks[:, layout.BL_END]
    promise(bool((starts[1:] >= ends[:-1]).all() and (ends > starts).all()), "blocks overlap or are empty")
    elements = parsed.elements
    parents = elements[1:, layout.EL_PARENT]
    promise(bool((parents >= 0).all() and (parents < range(1, len(elements))).all()), "an element before its parent")
    inside = elements[parents]
    first, end = elements[1:, layout.EL_FIRST], elements[1:, layout.EL_END]
    held = (first >= inside[:, layout.EL_FIRST]) & (end <= inside[:, layout.EL_END]) & (first <= end)
    promise(bool(held.all()), "an element reaches out of its parent")
    return _fate(Document(id="fuzz", url="https://site.example/", html=page.decode().replace("\0", "")), LEARNED)


def _texts(case: Case) -> str:
    """A text through the quality rules and the scrubber, in any language."""
    text = mangle_text(case.draw, case.draw.choice(seeds.texts()), seeds.texts())
    text = storable(text[: case.draw.choice((100_000, 100_000, 200, 3))]).replace("\0", "")
    case.file("text.txt", text.encode())
    doc = Document(id="fuzz", url="https://site.example/", text=text, language=case.draw.choice(LANGUAGES))
    name = case.draw.choice(TEXT_STAGES)
    return f"{name} {_fate(doc, (_stage(name),))}"


def _stage(name: str) -> object:
    return stages.load(name)()


def _fate(doc: Document, chosen: tuple[object, ...]) -> str:
    """The end of a document, the same each time; a stage of ours may not fail, and what it fails on is quarantined."""
    chain = Chain("fuzz", chosen)  # type: ignore[arg-type]
    outcome = chain.run(doc)
    promise(outcome.kind in ("kept", "dropped", "quarantined") and outcome.row, "came to no end")
    failed = outcome.kind == "quarantined"
    promise(not failed or "Error" not in (outcome.row or {}).get("cause", ""), f"a stage failed: {outcome.row}")
    again = chain.run(Document(id=doc.id, url=doc.url, html=doc.html, text=doc.text, language=doc.language))
    promise(again.kind == outcome.kind and again.row == outcome.row, "comes to another end the second time")
    if outcome.kind == "kept":
        str((outcome.row or {})["text"]).encode("utf-8")
        _judged(doc, chosen)
    return str((outcome.row or {}).get("reason") or outcome.kind)


def _judged(doc: Document, chosen: tuple[object, ...]) -> None:
    """Raw values are numbers: NaN would compare as nothing."""
    for stage in chosen:
        if isinstance(stage, QualityStage):
            values = stage.measure(doc).signals
            promise(all(value == value for part in values.values() for value in part.values()), f"a NaN: {values}")


def _urls(case: Case) -> str:
    draw = case.draw
    url = mangle_text(draw, draw.choice(seeds.urls()), seeds.urls())[:5000]
    case.file("url.txt", url.encode("utf-8", "surrogatepass"))
    found = _FILTER(Document(id="fuzz", url=url))
    promise(isinstance(found, (Document, Drop)), "the filter gave neither")
    in_domain(url, "site.example")
    base = draw.choice((None, *seeds.urls()))
    parsed = parse_url(url, base, draw.choice(("utf-8", "cp1252", "gb18030", "iso2022_jp", "no-such")))
    if parsed is None:
        return "no address"
    again = parse_url(str(parsed.text))
    promise(again == parsed, f"is written {parsed.text!r}, which reads as {again}")
    promise(re.fullmatch(r"[\x21-\x7e]+", parsed.text), f"is not ASCII: {parsed.text!r}")
    urllib.parse.urlsplit(parsed.text)
    return "address"


def _links(case: Case) -> str:
    data = mangle(case.draw, case.draw.choice(seeds.htmls()), seeds.htmls(), 200_000)
    found = find_links(data, "https://site.example/a/", case.draw.choice((None, "utf-8", "cp1251", "nonsense", "idna")))
    return "links" if found.urls else "no links"


def _robots(case: Case) -> str:
    draw = case.draw
    lines = [b"User-agent: *", b"User-agent: tokenmill", b"Disallow: /a*b$", b"Allow: /a/", b"Crawl-delay: 3",
             b"Disallow:", b"Disallow: " + b"*a" * draw.choice((1, 30, 3000)), b"Sitemap: x", b"# c"]  # fmt: skip
    body = b"\n".join(draw.choice(lines) for _ in range(draw.randrange(1, 30)))
    rules = parse_robots(mangle(draw, body, TOKENS), "tokenmill/1.0")
    allowed = rules.allows("/" + "a" * draw.choice((1, 50, 5000)) + draw.choice(("", "b", "b$", "/x?y")))
    promise(allowed in (True, False), "is neither allowed nor refused")
    return "allowed" if allowed else "refused"


_FILTER = UrlFilter(shipped_lists=False)


def _warm_up() -> None:
    import pipeline.text.features

    pipeline.text.features.prepare()
    for stage in (*EXTRACT, *LEARNED, *SLOW_EXTRACT, *map(_stage, TEXT_STAGES), _FILTER):
        prepare(stage)  # type: ignore[arg-type]
    doc = Document(id="fuzz", url="https://site.example/", html=seeds.htmls()[0].decode(), text=seeds.texts()[0])
    for chosen in (EXTRACT, LEARNED, SLOW_EXTRACT, tuple(map(_stage, TEXT_STAGES))):
        _fate(doc, chosen)


TARGETS = (
    Target("http", _http),
    Target("html", _html, _warm_up),
    Target("blocks", _blocks, _warm_up),
    Target("texts", _texts),
    Target("urls", _urls),
    Target("links", _links),
    Target("robots", _robots),
)
