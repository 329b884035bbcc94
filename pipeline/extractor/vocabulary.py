"""What the page parser knows by name: elements and what they do, attributes, and words in class and id attributes."""

from typing import Final

import numpy as np

from pipeline.text.machine_code import I64

BLOCK, VOID, RAW, ENDS_P, CELL, ITEM, TABLE_PART, INLINE_MARK = 1, 2, 4, 8, 16, 32, 64, 128
"""What an element does: begins a line; has no content; its content is not text; ends an open `p`; is a cell of a table,
an item of a list, a part of a table; marks words inside a line (code, strong)."""

IN_LINK, IN_ITEM, IN_NAV, IN_HEADER, IN_FOOTER, IN_ASIDE, IN_TABLE, IN_FORM = (1 << n for n in range(8))
IN_ARTICLE, IN_MAIN, IN_P, IN_HEADING, IN_PRE, IN_QUOTE, IN_DEFINITION, IN_FIGURE = (1 << n for n in range(8, 16))
IN_BUTTON, IN_NOSCRIPT, IN_HIDDEN, IN_CODE, IN_DETAILS, IN_MATH, IN_BODY = (1 << n for n in range(16, 23))
FLAGS: Final = 23
"""Flags of an element say what it stands in, itself included."""

_OF_ELEMENTS: Final[dict[str, tuple[int, int]]] = {
    **dict.fromkeys(("div", "section", "center", "hgroup", "fieldset", "search"), (BLOCK | ENDS_P, 0)),
    "html": (BLOCK, 0), "body": (BLOCK, IN_BODY), "head": (BLOCK, 0),
    "p": (BLOCK | ENDS_P, IN_P), "address": (BLOCK | ENDS_P, 0),
    **{f"h{level}": (BLOCK | ENDS_P, IN_HEADING) for level in range(1, 7)},
    "ul": (BLOCK | ENDS_P, 0), "ol": (BLOCK | ENDS_P, 0), "menu": (BLOCK | ENDS_P, 0), "dir": (BLOCK | ENDS_P, 0),
    "li": (BLOCK | ENDS_P | ITEM, IN_ITEM), "dl": (BLOCK | ENDS_P, IN_DEFINITION),
    "dt": (BLOCK | ENDS_P | ITEM, IN_DEFINITION), "dd": (BLOCK | ENDS_P | ITEM, IN_DEFINITION),
    "table": (BLOCK | ENDS_P, IN_TABLE),
    **dict.fromkeys(("caption", "tr", "thead", "tbody", "tfoot"), (BLOCK | TABLE_PART, IN_TABLE)),
    "td": (BLOCK | CELL, IN_TABLE), "th": (BLOCK | CELL, IN_TABLE),
    "article": (BLOCK | ENDS_P, IN_ARTICLE), "main": (BLOCK | ENDS_P, IN_MAIN), "nav": (BLOCK | ENDS_P, IN_NAV),
    "header": (BLOCK | ENDS_P, IN_HEADER), "footer": (BLOCK | ENDS_P, IN_FOOTER), "aside": (BLOCK | ENDS_P, IN_ASIDE),
    "form": (BLOCK | ENDS_P, IN_FORM), "figure": (BLOCK | ENDS_P, IN_FIGURE), "figcaption": (BLOCK | ENDS_P, IN_FIGURE),
    "pre": (BLOCK | ENDS_P, IN_PRE), "listing": (BLOCK | ENDS_P, IN_PRE), "xmp": (BLOCK | ENDS_P, IN_PRE),
    "blockquote": (BLOCK | ENDS_P, IN_QUOTE), "details": (BLOCK | ENDS_P, IN_DETAILS),
    "summary": (BLOCK | ENDS_P, IN_DETAILS), "dialog": (BLOCK | ENDS_P, IN_DETAILS), "noscript": (BLOCK, IN_NOSCRIPT),
    "button": (BLOCK, IN_BUTTON), "label": (0, IN_BUTTON), "legend": (BLOCK, IN_FORM),
    "a": (0, IN_LINK), "code": (INLINE_MARK, IN_CODE), "kbd": (INLINE_MARK, IN_CODE), "samp": (INLINE_MARK, IN_CODE),
    "tt": (INLINE_MARK, IN_CODE), "math": (0, IN_MATH),
    **dict.fromkeys(("b", "strong", "i", "em", "u", "mark", "cite", "q"), (INLINE_MARK, 0)),
    **dict.fromkeys(("span", "font", "small", "time", "sub", "sup", "abbr", "del", "ins", "s", "big", "bdi"), (0, 0)),
    "var": (0, 0),
    "hr": (BLOCK | VOID | ENDS_P, 0),
    **dict.fromkeys(("br", "img", "input", "meta", "link", "wbr", "source", "track", "area", "base"), (VOID, 0)),
    **dict.fromkeys(("col", "embed", "param"), (VOID, 0)),
    **dict.fromkeys(("script", "style", "template", "svg", "select", "textarea", "iframe", "title"), (RAW, 0)),
    **dict.fromkeys(("canvas", "object", "audio", "video", "noembed", "noframes"), (RAW, 0)),
}  # fmt: skip
ELEMENTS: Final = ("", *_OF_ELEMENTS)
"""Elements by number; 0 is one that is not known, which is part of a line."""
ELEMENT: Final = {name: number for number, name in enumerate(ELEMENTS)}
DOES: Final = (0, *(does for does, _ in _OF_ELEMENTS.values()))
STANDS_IN: Final = (0, *(flags for _, flags in _OF_ELEMENTS.values()))

ATTRIBUTES: Final = ("class", "id", "role", "itemprop", "itemtype", "hidden", "aria-hidden", "style", "type")
"""Attributes that are read; of the first five the words are."""

WORDS: Final = tuple(
    tuple(group.split())
    for group in (
        "nav navigation navbar menu breadcrumb breadcrumbs pagination pager toc sitemap",
        "footer foot copyright colophon legal",
        "header head masthead topbar banner hero",
        "sidebar side aside rail widget widgets secondary",
        "comment comments commentlist disqus reply replies respond responses",
        "share social sharing follow facebook twitter whatsapp",
        "related recommended recommendation similar more also teaser teasers promo read next trending popular latest",
        "ad ads advert advertisement sponsor sponsored outbrain taboola",
        "content article body entry main text prose story post",
        "meta author byline date time tags tag category published info",
        "cookie consent gdpr modal popup overlay newsletter subscribe signup login dialog paywall",
        "title headline heading subtitle lead intro summary",
        "thread message topic forum posts answer question signature quote",
        "product price cart rating review reviews sku shop buy spec specs description",
        "card grid list item tile collection listing results result",
        "code highlight snippet example table figure caption image gallery",
    )
)
"""Groups of words in class and id attributes that say what an element is for."""

_FNV_START, _FNV_PRIME, _32_BITS = 0x811C9DC5, 0x01000193, 0xFFFFFFFF


def name_hash(name: str) -> int:
    """FNV-1a of 32 bits (Fowler, Noll, Vo) over lower-case ASCII; as `hash_byte` in the loops."""
    state = _FNV_START
    for byte in name.encode("ascii"):
        state = ((state ^ byte) * _FNV_PRIME) & _32_BITS
    return state


TABLE_SIZE: Final = 1024
"""Of each of the tables: keys, then values."""


def _table(entries: dict[str, int]) -> I64:
    keys, values = np.zeros(TABLE_SIZE, np.int64), np.zeros(TABLE_SIZE, np.int64)
    for name, value in entries.items():
        slot = name_hash(name) & (TABLE_SIZE - 1)
        while keys[slot]:
            slot = (slot + 1) & (TABLE_SIZE - 1)
        keys[slot], values[slot] = name_hash(name), value
    return np.concatenate([keys, values])


def tables() -> I64:
    """Elements, attributes (from 1) and words (bit of the group) by hash, for the loops; then what elements do."""
    words: dict[str, int] = {}
    for number, group in enumerate(WORDS):
        for word in group:
            words[word] = words.get(word, 0) | 1 << number
    return np.concatenate(
        [
            _table({name: number for name, number in ELEMENT.items() if name}),
            _table({name: number for number, name in enumerate(ATTRIBUTES, 1)}),
            _table(words),
            np.array(DOES, np.int64),
            np.array(STANDS_IN, np.int64),
        ]
    )
