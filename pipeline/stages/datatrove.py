"""Run one of datatrove's own blocks, unchanged, as a stage."""

import contextlib
import dataclasses
import functools
import importlib
import inspect
import json
import types
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.contract.fields import check_fields
from pipeline.document import Document, Drop

_OURS = ("exclusion_writer", "data", "rank", "world_size")
"""Arguments that are given by us."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Datatrove:
    """A filter, formatter or any other block that turns one document into one document or none.

    The block sees datatrove's Document: text, id, and the metadata url, date, dump, language, language_score,
    warc_path. What it drops is dropped for the reason it gives its exclusion writer. Text it changed is taken over.

    A block that draws by chance or remembers documents (SamplerFilter, dedup blocks) gives answers that depend on how
    pages are spread over processes: with one of those a run is no longer the same bytes every time.
    """

    UNKNOWN_FIELD: ClassVar[str] = "an argument of the block goes under args: `args: {{{}: ...}}`"

    class_: str
    """Dotted path of the block, such as `datatrove.pipeline.filters.GopherQualityFilter`; or of a function or generator
    `(data, rank, world_size)`, as datatrove's pipelines take them too."""
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Its constructor's (the function's further) arguments by name; `exclusion_writer` is ours."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not all(part.isidentifier() for part in self.class_.split(".")) or "." not in self.class_:
            raise ValueError(f"class: must be a dotted path such as package.module.Class, got '{self.class_}'")
        if "exclusion_writer" in self.args:
            raise ValueError("args.exclusion_writer: cannot be set; dropped documents go to OUT/dropped")
        _block(self.class_, json.dumps(dict(self.args), sort_keys=True))

    @property
    def report_name(self) -> str:
        """`datatrove.GopherQualityFilter`: what the block is called in tables and reports."""
        return f"datatrove.{self.class_.rpartition('.')[2]}"

    def __call__(self, doc: Document) -> Document | Drop:
        """Run the block over this one document."""
        block, dropped = _block(self.class_, json.dumps(dict(self.args), sort_keys=True))
        dropped.reasons.clear()
        kept = list(block.run(iter([_as_datatrove_document(doc)]), rank=0, world_size=1))
        if len(kept) > 1:
            raise TypeError(f"{self.class_} made {len(kept)} documents of one; a stage makes one or none")
        if kept:
            return doc.replace(text=kept[0].text)
        return Drop(dropped.reasons[0] if dropped.reasons else "dropped")


class _Reasons:
    """Stands where datatrove expects an exclusion writer, and remembers why a document left."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __enter__(self) -> "_Reasons":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, document: Any, *_: Any, **__: Any) -> None:
        """Called by the block for each document it drops."""
        reason = str(document.metadata.get("filter_reason", "dropped"))
        self.reasons.append(reason.encode("utf-8", "replace").decode())  # a word of the page may be lone surrogates


@functools.lru_cache(maxsize=32)
def _block(path: str, args: str) -> tuple[Any, _Reasons]:
    """The block, made once per process.

    Raises:
        ValueError: there is no such class, or it does not take these arguments.
    """
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
        block = _as_block(cls, json.loads(args))
    except (ImportError, AttributeError) as error:
        raise ValueError(f"class: '{path}' cannot be imported: {error}") from error
    except TypeError as error:
        raise ValueError(f"args: {error}{_signature(cls)}") from error
    except Exception as error:  # whatever its constructor says of the arguments, such as re.error
        raise ValueError(f"args: {path} cannot be made with them: {type(error).__name__}: {error}") from error
    if not callable(getattr(block, "run", None)):
        raise ValueError(f"class: '{path}' is no datatrove block (it has no `run`)")
    reasons = _Reasons()
    with contextlib.suppress(AttributeError):  # only filters have one
        block.exclusion_writer = reasons
    return block, reasons


def _signature(found: Any) -> str:
    """The arguments that a block takes, for a message about wrong ones."""
    try:
        names = [name for name in inspect.signature(found).parameters if name not in _OURS]
    except (TypeError, ValueError):
        return ""
    return f"; {found.__name__} takes {', '.join(names) or 'none'}"


def _as_block(found: Any, args: Mapping[str, Any]) -> Any:
    """An instance of a class; a function with something that has its `run`."""
    if not inspect.isfunction(found):
        return found(**args)
    inspect.signature(found).bind([], rank=0, world_size=1, **args)
    return types.SimpleNamespace(run=functools.partial(found, **args))


def _as_datatrove_document(doc: Document) -> Any:
    from datatrove.data import Document as TheirDocument

    metadata = {
        "url": doc.url,
        "date": doc.date.isoformat() if doc.date else "",
        "dump": doc.dump,
        "language": doc.language,
        "language_score": doc.language_score,
        "warc_path": doc.warc_path,
    }
    return TheirDocument(text=doc.text, id=doc.id, metadata=metadata)
