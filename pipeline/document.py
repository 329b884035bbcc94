"""What flows through the pipeline: a Document, or the Drop that says why there is none."""

import dataclasses
import datetime
import traceback
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from pipeline.contract.contamination import Overlap
from pipeline.contract.errors import StageError, TokenmillError
from pipeline.text.features import TextFeatures

Signals = Mapping[str, Mapping[str, float]]
"""Raw values of quality rules: stage name -> signal name -> value."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One page: first its bytes, after extraction its text. Stages return changed copies (`doc.replace(...)`)."""

    id: str
    """The WARC-Record-ID without `<urn:uuid:>`, else a hash of source and position."""
    url: str
    date: datetime.datetime | None = None
    """WARC-Date, UTC."""
    dump: str = ""
    """Name of the crawl it came from, such as CC-MAIN-2024-10."""
    warc_path: str = ""
    """The input's path as given."""
    warc_offset: int = 0
    """Byte offset of the record's gzip member (of the record where the file is not compressed)."""
    warc_length: int = 0
    """Bytes of that member."""
    html: str = ""
    """The decoded page; emptied by extraction."""
    text: str = ""
    language: str = ""
    """ISO 639-1 code where lid.176 has one."""
    language_score: float = 0.0
    signals: Signals = dataclasses.field(default_factory=dict)
    pii_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cluster_size: int = 1
    """Near-duplicates it stands for, itself included; from step 1 on, the exact copies that were not extracted."""
    copy_of: str | None = None
    """Id of the page that goes on in its stead, having the same payload; see `payload_digest`."""
    overlaps: tuple[Overlap, ...] = ()
    """Benchmark items that the text shares words with; on record in OUT/contamination, in no column of the tables."""
    cluster_id: str | None = None
    """Id of the document that stays, or would stay, of its cluster of duplicates; None where it has none."""
    _features: list[TextFeatures] = dataclasses.field(default_factory=list, repr=False, compare=False)
    encoded: tuple[str, bytes] = dataclasses.field(default=("", b""), repr=False, compare=False)
    """A page and its bytes in UTF-8, where the source had them: `html_bytes` need not encode it again."""

    def replace(self, **changes: Any) -> "Document":
        """A copy with `changes`; a new text forgets the features of the old one."""
        if "text" in changes and changes["text"] != self.text:
            changes["_features"] = []
        return dataclasses.replace(self, **changes)

    def with_signals(self, stage: str, values: Mapping[str, float]) -> "Document":
        """A copy that also carries the raw values of `stage`."""
        return dataclasses.replace(self, signals={**self.signals, stage: values})

    @property
    def html_bytes(self) -> bytes:
        """The decoded page in UTF-8, lone surrogates as `?`."""
        html, page = self.encoded
        return page if html is self.html else self.html.encode("utf-8", "replace")

    @property
    def features(self) -> TextFeatures:
        """Lines, words, n-grams and hashes of the text, computed at most once for all stages."""
        if not self._features or self._features[0].language != self.language:
            self._features[:] = [TextFeatures(self.text, language=self.language)]
        return self._features[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Drop:
    """Why a document leaves."""

    reason: str
    """snake_case; the report shows it as `step.stage.reason`."""
    value: float | None = None
    """What was measured."""
    limit: float | None = None
    """The limit it broke."""
    detail: str | None = None
    """The matched domain, word, n-gram or document, where a number says too little."""
    overlaps: tuple[Overlap, ...] = dataclasses.field(default=(), compare=False)
    """As of a Document."""


@runtime_checkable
class Stage(Protocol):
    """A frozen dataclass of limits that can be called. No I/O, no Ray, no globals, no memory of earlier documents.

    Its module's name is its name in YAML and in the report. `check_fields(self)` in its `__post_init__` refuses values
    that do not fit its fields, also where it is made in Python. A stage that needs a model or a list loads it through a
    cached function keyed by path, so that it stays small to pickle; with a method `prepare` it loads it ahead.

    The document it is given stays as it is; one that gives anything else, or changes it in place, stops the build.
    """

    def __call__(self, doc: Document, /) -> Document | Drop:
        """The document, perhaps changed, or the reason it leaves."""


def name_of(cls: type) -> str:
    """What a stage is called in configs and tables: `gopher_quality`, or `mypackage.mymodule.MyStage` for one's own."""
    package, _, module = cls.__module__.rpartition(".")
    return module if package == "pipeline.stages" else f"{cls.__module__}.{cls.__qualname__}"


def prepare(stage: Stage) -> None:
    """Let a stage that has a `prepare` method load its models and lists before a run starts.

    Raises:
        UserError: one of them is missing or does not fit.
        StageError: it raised anything else.
    """
    load = getattr(stage, "prepare", None)
    if load is None:
        return
    try:
        load()
    except TokenmillError:
        raise
    except (Exception, SystemExit, GeneratorExit) as error:
        trace = "".join(traceback.format_exception(error)).rstrip().replace("\n", "\n  ")
        raise StageError(f"stage {name_of(type(stage))} cannot prepare itself:\n  {trace}") from error


@runtime_checkable
class MadeForLanguages(Protocol):
    """A stage whose defaults are made for certain languages: a build that keeps others says so before it begins."""

    MADE_FOR: ClassVar[tuple[str, ...]]
    """Those languages."""

    def unsuited(self, language: str, /) -> tuple[str, ...]:
        """The fields that hold for `language` (empty: any) with a default that is not made for it."""


@runtime_checkable
class QualityStage(Stage, Protocol):
    """A stage whose verdict follows from raw values alone, which are kept so that a limit can be swept later.

    `__call__` is `judge(measure(doc).signals[name], doc.language) or measure(doc)`.
    """

    SIGNALS: ClassVar[tuple[str, ...]]
    """The names of the values `measure` stores, in the order of the columns."""

    def measure(self, doc: Document, /) -> Document:
        """The document (its text perhaps cleaned) with this stage's raw values in `signals`."""

    def judge(self, values: Mapping[str, float], language: str = "", /) -> Drop | None:
        """The first limit that the raw values break, or None; limits may differ by language."""
