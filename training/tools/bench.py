"""How fast a config trains on this machine: steady tokens per second, MFU, memory, time to compile.

    python -m training.tools.bench CONFIG [--set a.b=value ...] [--versus a.b=value ...] [--json]
    torchrun --nproc-per-node 8 -m training.tools.bench CONFIG

The shards are synthetic (ids drawn by Zipf's law, written and read as any others), so that it needs no data. Each
`--versus` is measured after the config itself, in the same process, and compared with it.
"""

import argparse
import dataclasses
import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError, TokenmillError
from pipeline.contract.keys import apply_overrides
from pipeline.contract.manifest import FORMAT_VERSION, TokenizerInfo, TokensManifest, dtype_for
from pipeline.contract.shards import shard_name, write_shard
from pipeline.contract.yaml_text import read_yaml
from training import parallel
from training.config import PretrainConfig
from training.data.batches import Prefetcher
from training.data.corpus import open_corpus
from training.data.token_batches import WindowReader, training_batches
from training.loop import StepResult, gradients
from training.model.flops import flops_per_token, parameter_count, peak_flops
from training.model.optimizers import build_optimizers
from training.runtime import distributed
from training.runtime.distributed import World

DOCUMENT_TOKENS = 700
"""Mean length of the synthetic documents; FineWeb's are about as long."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """What was measured of one config."""

    variant: str
    parameters: int
    processes: int
    device: str
    tokens_per_second: float
    """Median over the measured steps, all processes."""
    tokens_per_second_p5: float
    tokens_per_second_p95: float
    mfu: float | None
    """(6N + 12LHCT) x tokens per second / peak; None where the peak is not known."""
    peak_teraflops: float | None
    memory_gib: float | None
    """Most memory allocated on one GPU."""
    first_step_seconds: float
    """With everything that is compiled or loaded once."""
    data_wait: float
    """Share of the time spent waiting for batches."""
    loss: float
    """Of the last step: the same for variants that change only speed."""


def write_synthetic(folder: Path, vocabulary: int, tokens: int, seed: int = 0) -> Path:
    """A `tokens/` folder of one shard with `tokens` random ids, the frequent ones often."""
    random = np.random.default_rng(seed)
    dtype = dtype_for(vocabulary)
    ids = np.minimum(random.zipf(1.2, size=tokens) - 1, vocabulary - 1).astype(dtype)
    ends = np.unique(np.append(np.flatnonzero(random.random(tokens - 1) < 1 / DOCUMENT_TOKENS) + 1, tokens))
    ids[ends - 1] = 0
    starts = np.concatenate([[0], ends[:-1]])
    names = [f"document-{number}" for number in range(len(ends))]
    columns = {"id": names, "url": names, "warc_path": names, "warc_offset": starts, "start": starts}
    info = write_shard(folder / shard_name(0), ids, pa.table({**columns, "length": ends - starts}))
    TokensManifest(
        format_version=FORMAT_VERSION, dtype=dtype, seed=seed, tokens=info.tokens, documents=info.documents,
        tokenizer=TokenizerInfo(name="none", sha256="", vocabulary_size=vocabulary, end_of_text_id=0), shards=(info,),
    ).write(folder)  # fmt: skip
    return folder


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Steps:
    """What was measured of each step."""

    seconds: list[float]
    waits: list[float]
    """Seconds spent waiting for batches, part of `seconds`."""
    last: StepResult


def measure(config: PretrainConfig, world: World, *, warmup: int, steps: int, variant: str) -> Speed:
    """Train `warmup` and then `steps` steps of a config whose vocabulary is known, and time each."""
    timed = _time_steps(config, world, warmup + steps)
    cuda = world.device.type == "cuda"
    name = torch.cuda.get_device_name(world.device) if cuda else "cpu"
    bfloat16 = parallel.matmul_dtype(config.parallel.dtype, world.device) == torch.bfloat16
    peak = peak_flops(name) if bfloat16 else None
    rates = np.sort(timed.last.tokens / np.array(timed.seconds[warmup:]))
    rate = float(np.median(rates))
    work = flops_per_token(config.model, config.sequence_length)
    return Speed(
        variant=variant,
        parameters=parameter_count(config.model),
        processes=world.size,
        device=name,
        tokens_per_second=rate,
        tokens_per_second_p5=float(np.percentile(rates, 5)),
        tokens_per_second_p95=float(np.percentile(rates, 95)),
        mfu=rate * work / (peak * world.size) if peak else None,
        peak_teraflops=peak / 1e12 if peak else None,
        memory_gib=torch.cuda.max_memory_allocated(world.device) / 2**30 if cuda else None,
        first_step_seconds=timed.seconds[0],
        data_wait=sum(timed.waits[warmup:]) / sum(timed.seconds[warmup:]),
        loss=timed.last.loss,
    )


def _time_steps(config: PretrainConfig, world: World, steps: int) -> _Steps:
    model = parallel.parallelize(config.model, config.parallel, world, config.seed)
    optimizers = build_optimizers(model, config.optimizer)
    vocabulary, length = config.model.known_vocab_size, config.sequence_length
    reader = WindowReader(length=length, vocab_size=vocabulary, document_mask=config.data.document_mask)
    source = training_batches(config, open_corpus(config), reader, rank=world.rank, size=world.size)
    cuda, max_grad_norm = world.device.type == "cuda", config.optimizer.max_grad_norm
    batches = Prefetcher(source, 0, pin=cuda)
    if cuda:
        torch.cuda.reset_peak_memory_stats(world.device)
    seconds, waits = [], []
    try:
        for _ in range(steps):
            started = time.perf_counter()
            taken = batches.take()
            waits.append(time.perf_counter() - started)
            result = gradients(model, taken, world=world, settings=config.parallel, max_grad_norm=max_grad_norm)
            optimizers.step()
            optimizers.zero_grad()
            if cuda:
                torch.cuda.synchronize(world.device)
            seconds.append(time.perf_counter() - started)
    finally:
        batches.close()
    return _Steps(seconds=seconds, waits=waits, last=result)


def variants(options: argparse.Namespace, folder: str) -> list[tuple[str, PretrainConfig]]:
    """The config, and each variant of it, reading the synthetic shards."""
    found = []
    for versus in [None, *options.versus]:
        overrides = [*options.set, *([versus] if versus else [])]
        tree = apply_overrides(read_yaml(options.config), overrides)
        tree = apply_overrides(tree, [f"data.tokens={folder}", "validation.every=null"])
        if tree.get("model", {}).get("vocab_size") is None:
            tree = apply_overrides(tree, [f"model.vocab_size={options.vocabulary}"])
        found.append((versus or "as configured", build(PretrainConfig, tree, options.config)))
    if len({config.model.known_vocab_size for _, config in found}) > 1:
        raise ConfigError("--versus", "variants must have one vocabulary, since they read the same shards")
    return found


def run(options: argparse.Namespace) -> list[Speed]:
    """Measure the config and its variants."""
    with tempfile.TemporaryDirectory() as folder:
        found = variants(options, folder)
        world = distributed.initialize(found[0][1].parallel)
        first = found[0][1]
        tokens = max(config.batch.tokens for _, config in found) + first.sequence_length + 1
        write_synthetic(Path(folder), first.model.known_vocab_size, max(tokens, 1_000_000))
        speeds: list[Speed] = []
        for variant, config in found:
            try:
                speed = measure(config, world, warmup=options.warmup, steps=options.steps, variant=variant)
            except torch.OutOfMemoryError as error:
                if not speeds or world.size > 1:  # alone it can go on with the next variant
                    raise TokenmillError(f"{variant}: {error}") from error
                print(f"{variant}: out of memory", file=sys.stderr, flush=True)
            else:
                speeds.append(speed)
                if world.main:
                    print(summary_line(speed, speeds[0]), file=sys.stderr, flush=True)
            torch.compiler.reset()
            gc.collect()
            if world.device.type == "cuda":
                torch.cuda.empty_cache()
        return speeds if world.main else []


def summary_line(speed: Speed, base: Speed) -> str:
    """A variant in words."""
    parts = [
        f"{speed.variant}: {speed.tokens_per_second:,.0f} tok/s "
        f"(p5 {speed.tokens_per_second_p5:,.0f}, p95 {speed.tokens_per_second_p95:,.0f})",
        f"first step {speed.first_step_seconds:.1f} s",
        f"data wait {speed.data_wait:.1%}",
        f"loss {speed.loss:.4f}",
    ]
    if speed.mfu is not None:
        parts.insert(1, f"MFU {speed.mfu:.1%} of {speed.peak_teraflops:.0f} TFLOP/s")
    if speed.memory_gib is not None:
        parts.insert(2, f"{speed.memory_gib:.1f} GiB")
    if speed is not base:
        parts.append(f"{speed.tokens_per_second / base.tokens_per_second:.2f} x")
    return ", ".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tools.bench", description="Measure how fast a config trains."
    )
    parser.add_argument("config", help="a YAML file, as in configs/training/")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key")
    parser.add_argument("--versus", action="append", default=[], metavar="KEY=VALUE", help="measure this variant too")
    parser.add_argument("--warmup", type=int, default=10, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=50, help="steps measured")
    parser.add_argument("--vocabulary", type=int, default=50_257, help="where the config has none")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(arguments)
    try:
        if options.steps < 1 or options.warmup < 0:
            raise ConfigError("--steps", f"must be at least 1 (and --warmup 0), got {options.steps}, {options.warmup}")
        speeds = run(options)
    except TokenmillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    if options.json and speeds:
        rows: list[dict[str, Any]] = [dataclasses.asdict(speed) for speed in speeds]
        print(json.dumps({"torch": torch.__version__, "config": options.config, "variants": rows}))
    return 0


if __name__ == "__main__":
    distributed.exit_process(main())
