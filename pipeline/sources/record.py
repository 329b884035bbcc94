"""What every source yields: a Record, or a Gap where the bytes were no record."""

import dataclasses
import datetime
from typing import Literal

Kind = Literal["response", "conversion", "row", "other"]
"""`other` (warcinfo, request, metadata, revisit, resource ...) counts among `records` but is no candidate."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One record of a source. The candidates (`kind` not `other`) are what the pipeline calls `read`."""

    id: str
    """WARC-Record-ID without `<urn:uuid:>`, else a hash of the file's name and the record's position."""
    url: str = ""
    date: datetime.datetime | None = None
    """WARC-Date, UTC."""
    dump: str = ""
    warc_path: str = ""
    """The input's path as given."""
    warc_offset: int = 0
    """Byte offset of the record's compressed member (uncompressed: of the record); of a row its number."""
    warc_length: int = 0
    """Bytes of that member; of a row 1."""
    kind: Kind
    status: int | None = None
    """HTTP status; None where there is no HTTP header."""
    content_type: str | None = None
    """MIME type of the HTTP header, lower case, without parameters."""
    charset: str | None = None
    """The charset parameter of the HTTP header, lower case."""
    body: bytes = b""
    """Payload of a response: transfer and content encodings undone. Empty in other kinds."""
    body_size: int | None = None
    """Bytes of the payload, or at least so many, where the reader stopped short of its end; None: `body` is whole."""
    text: str | None = None
    """Text of a conversion or row."""
    language: str = ""
    fault: str | None = None
    """Damage that makes a candidate unreadable, as `cause` or `cause: detail`; it goes to quarantine."""

    @property
    def candidate(self) -> bool:
        """Whether the record counts as `read`."""
        return self.kind != "other"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Bytes of a source that are no record; named, so that nothing is skipped in silence."""

    warc_path: str
    warc_offset: int
    length: int
    """Bytes as they lie in the file (compressed, where it is)."""
    cause: str
    """snake_case, perhaps followed by `: detail`."""
