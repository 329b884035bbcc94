"""What the model read, and when: from a step to the pages behind it, from a page to the steps that read it.

    python -m training.tools.lineage RUN --step 8123
    python -m training.tools.lineage RUN --url https://site.example/page
    python -m training.tools.lineage RUN --domain site.example

The order of the data is a function of seed and position, so nothing is logged during training: the batch of any step is
computed again, and each of its tokens leads through `.docs.parquet` to a URL, a WARC file and an offset.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError, InputError, TokenmillError
from pipeline.contract.shards import Shard
from training import checkpoint
from training.config import PretrainConfig
from training.data.corpus import Windows, open_corpus
from training.data.order import Numbers
from training.data.token_batches import TokenBatches, WindowReader, training_batches

_PORTION = 1_000_000
"""Positions looked through at once."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DocumentReading:
    """A piece of one document in one sequence of one step."""

    step: int
    sequence: int
    """Its number within the step, from 0."""
    shard: str
    start: int
    """First token, counted from the start of the shard."""
    tokens: int
    """How many tokens of the document were read here, as inputs."""
    id: str
    url: str
    warc_path: str
    warc_offset: int


def _located(config: PretrainConfig, found: checkpoint.Checkpoint) -> PretrainConfig:
    """The config with its relative paths of shards as training resolved them, as far as those are still there."""
    places = [Path(entry["path"]) for entry in found.provenance["tokens"]]
    sources = tuple(
        source
        if Path(source.path).is_absolute() or not place.is_dir()
        else dataclasses.replace(source, path=str(place))
        for source, place in zip(config.data.sources, places, strict=True)
    )
    return dataclasses.replace(config, data=dataclasses.replace(config.data, tokens=sources))


class Lineage:
    """The readings of a run.

    Args:
        run: the folder of a pretraining run, or one of its checkpoints.

    Raises:
        InputError: no checkpoint, or its shards are not where they were, or are others.
    """

    def __init__(self, run: str | Path) -> None:
        found = checkpoint.read(run)
        if found.kind != "pretrain":
            raise InputError(str(found.path), f"is a checkpoint of {found.kind}; shards are read by pretrain alone")
        self.config = _located(build(PretrainConfig, found.config, str(found.path / "config.json")), found)
        corpus = open_corpus(self.config)
        for before, now in zip(found.provenance["tokens"], corpus.provenance, strict=True):
            if before["sha256"] != now["sha256"]:
                raise InputError(str(now["path"]), "holds other shards than the run was trained on")
        reader = WindowReader(length=self.config.sequence_length, vocab_size=2**32, document_mask=False)
        self._data: TokenBatches = training_batches(self.config, corpus, reader, rank=0, size=1)
        self._tables: dict[Path, pa.Table] = {}

    def documents_of_step(self, step: int) -> Iterator[DocumentReading]:
        """The documents of update number `step`, counted from 1 as in metrics.jsonl.

        Raises:
            ConfigError: the run has no such step.
        """
        if not 1 <= step <= self.config.batch.steps:
            raise ConfigError("--step", f"the run has steps 1 to {self.config.batch.steps}, got {step}")
        first = (step - 1) * self.config.sequences_per_step
        for position, source, number in self._located(first, first + self.config.sequences_per_step):
            yield from self._documents_of_window(position, self._data.windows[source], number)

    def readings_of_pages(self, wanted: Callable[[str], bool]) -> Iterator[DocumentReading]:
        """Every reading, in the whole run, of documents whose URL is `wanted`, in the order of the steps."""
        numbers = [self._windows_of(windows, wanted) for windows in self._data.windows]
        total = self.config.batch.steps * self.config.sequences_per_step
        for first in range(0, total, _PORTION):
            for position, source, number in self._located(first, min(total, first + _PORTION), numbers):
                readings = self._documents_of_window(position, self._data.windows[source], number)
                yield from (reading for reading in readings if wanted(reading.url))

    def _located(
        self, first: int, stop: int, wanted: Sequence[Numbers] | None = None
    ) -> Iterator[tuple[int, int, int]]:
        """Position, source and window number of the sequences at positions first to stop, if wanted."""
        positions = np.arange(first, stop, dtype=np.int64)
        sources, _, numbers = self._data.order.locate(positions)
        chosen = np.ones(len(positions), dtype=bool)
        for source, windows in enumerate(wanted or ()):
            chosen &= (sources != source) | np.isin(numbers, windows)
        found = (positions[chosen], sources[chosen], numbers[chosen])
        yield from zip(*(part.tolist() for part in found), strict=True)

    def _documents_of_window(self, position: int, windows: Windows, number: int) -> Iterator[DocumentReading]:
        shard, start = windows.place(number)
        stop = start + windows.length
        step, sequence = divmod(position, self.config.sequences_per_step)
        for document in range(shard.document_at(start), shard.document_at(stop - 1) + 1):
            [row] = self._documents(shard).slice(document, 1).to_pylist()
            begin, end = max(start, row["start"]), min(stop, row["start"] + row["length"])
            places = {name: row[name] for name in ("id", "url", "warc_path", "warc_offset")}
            yield DocumentReading(
                step=step + 1, sequence=sequence, shard=shard.path.name, start=begin, tokens=end - begin, **places
            )

    def _documents(self, shard: Shard) -> pa.Table:
        if shard.path not in self._tables:
            self._tables[shard.path] = shard.docs()
        return self._tables[shard.path]

    def _windows_of(self, windows: Windows, wanted: Callable[[str], bool]) -> Numbers:
        """The numbers of the windows that read a token of a wanted document."""
        found: list[int] = []
        for shard in {span.shard.path: span.shard for span in windows.spans}.values():
            table = self._documents(shard)
            columns = (table[name].to_pylist() for name in ("url", "start", "length"))
            for url, start, length in zip(*columns, strict=True):
                if wanted(url):
                    found += windows.covering(shard, start, start + length)
        return np.unique(np.array(found, dtype=np.int64))


def url_is_on_domain(domain: str) -> Callable[[str], bool]:
    """Whether a URL's host is `domain` or below it."""
    domain = domain.lower().strip(".")

    def wanted(url: str) -> bool:
        try:
            host = (urlsplit(url).hostname or "").lower().rstrip(".")
        except ValueError:  # a URL that is none is on no domain
            return False
        return host == domain or host.endswith(f".{domain}")

    return wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; one JSON object a line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tools.lineage", description="Which pages a run read, and when."
    )
    parser.add_argument("run", help="a run folder of pretrain, or a checkpoint")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--step", type=int, help="list the documents of this step")
    which.add_argument("--url", help="list the steps that read this page")
    which.add_argument("--domain", help="list the steps that read pages of this site")
    options = parser.parse_args(arguments)
    try:
        lineage = Lineage(options.run)
        if options.step is not None:
            readings = lineage.documents_of_step(options.step)
        else:
            readings = lineage.readings_of_pages(
                url_is_on_domain(options.domain) if options.domain else options.url.__eq__
            )
        for reading in readings:
            print(json.dumps(dataclasses.asdict(reading), ensure_ascii=False))
    except TokenmillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
