"""Header fields of WARC records and HTTP messages."""

import re

Fields = dict[bytes, bytes]
"""Header names in lower case -> values; the first of a name stands."""

_FOLD = re.compile(rb"\r?\n[ \t]+")
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)


def parse_fields(lines: bytes) -> Fields:
    """Header lines as a mapping. Lines without a colon are left out, folded lines joined."""
    fields: Fields = {}
    for line in _FOLD.sub(b" ", lines).split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def declared_length(fields: Fields) -> int | None:
    """Content-Length, or None where it is missing or no plain number."""
    value = fields.get(b"content-length", b"")
    return int(value) if value.isdigit() and len(value) < 20 else None


def parse_content_type(fields: Fields) -> tuple[str | None, str | None]:
    """(MIME type, charset) of a Content-Type header, lower case; None for what is missing."""
    value = fields.get(b"content-type", b"")
    if not value:
        return None, None
    kind = value.partition(b";")[0].strip().lower().decode("latin-1")
    found = _CHARSET.search(value)
    return kind or None, found[1].lower().decode("latin-1") if found else None
