"""What a body is by its first bytes, for responses whose header does not say (or says something else)."""

import re

_SNIFFED = 1445  # bytes looked at, WHATWG MIME Sniffing Standard, 4 ("resource header")
HTML = "text/html"
XHTML = "application/xhtml+xml"

_LEAD = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\t\n\x0c\r \0]*")
# The standard's list (7.1), each ended by a space or `>`.
_TAG = re.compile(
    rb"<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|body|br|b|p|meta|link)[\s/>]|<!--",
    re.IGNORECASE,
)
_XHTML = re.compile(rb"<html\b|<!doctype html", re.IGNORECASE)
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_MAGIC = (
    (b"%PDF-", "application/pdf"), (b"%!PS-Adobe-", "application/postscript"), (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"), (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "application/x-riff"), (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"), (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"), (b"ID3", "audio/mpeg"), (b"OggS", "application/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"), (b"wOFF", "font/woff"), (b"wOF2", "font/woff2"), (b"\0asm", "application/wasm"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"), (b"{\\rtf", "application/rtf"),
    (b"FWS", "application/x-shockwave-flash"), (b"CWS", "application/x-shockwave-flash"), (b"BM", "image/bmp"),
)  # fmt: skip


def sniff(body: bytes) -> str:
    """The MIME type of a body by its beginning; `application/octet-stream` for other binary data, else `text/plain`."""
    start = body[:_SNIFFED]
    magic = binary_type(start)
    if magic:
        return magic
    lead = _LEAD.match(start)
    text = start[lead.end() :] if lead else start
    if text[:2] in (b"<\0", b"\0<"):  # UTF-16
        text = text.replace(b"\0", b"")
    if text.startswith(b"<?xml"):
        return XHTML if _XHTML.search(text) else "text/xml"
    if _TAG.match(text):
        return HTML
    return "application/octet-stream" if _BINARY.search(text) else "text/plain"


def binary_type(body: bytes) -> str | None:
    """The type of a body that is surely binary, by its magic number."""
    found = next((kind for magic, kind in _MAGIC if body.startswith(magic)), None)
    # "BM", "ID3", "FWS" and "RIFF" may begin a text as well.
    return found if found and (len(body) < 8 or _BINARY.search(body[:64]) or found == "application/pdf") else None
