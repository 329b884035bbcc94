"""Pretraining: the main path of the model half.

    python -m training.pretrain CONFIG [--set a.b=value ...]
    torchrun --nproc-per-node 8 -m training.pretrain CONFIG

config -> open the shards -> a sharded model -> the newest checkpoint, if there is one -> the loop. To resume, run the
same command.
"""

if __name__ == "__main__":  # before torch is imported, which takes seconds
    from training.runtime.stopping import handle, stop_now

    handle(stop_now)

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.contract.config import differences, resolved
from pipeline.contract.errors import ConfigError, Stopped, TokenmillError
from pipeline.contract.yaml_text import Tree
from training import parallel
from training.checkpoints import checkpoint
from training.checkpoints.checkpoint import Checkpoint, Progress
from training.config import PretrainConfig, load_config
from training.data.corpus import Corpus, open_corpus
from training.data.token_batches import Reader, training_data
from training.data.tokenizer import parse_tokenizer, read_tokenizer
from training.loop import Job, Outcome, fit, reach
from training.model.flops import flops_per_token, parameter_count
from training.model.optimizers import Optimizers, build_optimizers
from training.model.transformer import Transformer
from training.probes import Samples, Validation
from training.runtime import distributed
from training.runtime.distributed import World
from training.runtime.logs import Logs, NoLogs, RunLogs
from training.runtime.stopping import speaks, stopped

KIND = "pretrain"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a run reads, opened and checked before any process or GPU is used."""

    config: PretrainConfig
    """With the vocabulary filled in."""
    corpus: Corpus
    tokenizer: bytes
    """Content of tokenizer.json."""

    @property
    def provenance(self) -> Tree:
        """What a checkpoint says it was made from."""
        parent = None if self.config.init_from is None else checkpoint.fingerprint(self.config.init_from)
        tokenizer = dataclasses.asdict(self.corpus.tokenizer)
        return {"tokens": self.corpus.provenance, "tokenizer": tokenizer, "init_from": parent}


def open_inputs(config: PretrainConfig) -> Inputs:
    """Open shards and tokenizer, and see that they fit the model.

    Raises:
        UserError: something is missing, damaged or does not fit.
    """
    corpus = open_corpus(config)
    info = corpus.tokenizer
    given = config.model.vocabulary_size
    if given is not None and given < info.vocabulary_size:
        problem = f"{given} is too small for the shards' tokenizer '{info.name}', which has {info.vocabulary_size} ids"
        raise ConfigError("model.vocabulary_size", problem, hint="leave it out: it is then taken from the shards")
    model = dataclasses.replace(config.model, vocabulary_size=given or info.vocabulary_size)
    tokenizer = read_tokenizer(config.data.tokenizer, corpus.sets[0].folder, info)
    parse_tokenizer(tokenizer, config.data.tokenizer or str(corpus.sets[0].folder))
    return Inputs(config=dataclasses.replace(config, model=model), corpus=corpus, tokenizer=tokenizer)


def run(inputs: Inputs, world: World) -> Outcome:
    """Train to the end, or until a signal; every process calls it.

    Raises:
        UserError: a checkpoint that does not fit the config.
        TokenmillError: see `loop.fit`.
    """
    config, folder = inputs.config, Path(inputs.config.run.output) / "checkpoints"
    found = resume_point(inputs, folder, check_hashes=world.main)
    model = parallel.parallelize(config.model, config.parallel, world, config.seed)
    optimizers = build_optimizers(model, config.optimizer)
    progress = Progress()
    if found is not None:
        checkpoint.load_tensors(found.path, checkpoint.model_tensors(model) | optimizers.tensors())
        progress = found.progress
    elif config.init_from is not None:
        checkpoint.load_weights(config.init_from, model)
    steps = config.batch.steps
    logs: Logs = NoLogs()
    if world.main:
        logs = RunLogs(Path(config.run.output), first=progress.step, steps=steps, tensorboard=config.run.tensorboard)
        checkpoint.tidy(folder, keep=None)
    try:
        logs.say(describe(inputs, world, progress))
        return fit(job(inputs, world, model, optimizers, logs), progress)
    finally:
        logs.close()


def job(inputs: Inputs, world: World, model: Transformer, optimizers: Optimizers, logs: Logs) -> Job:
    """The loop's job."""
    config = inputs.config
    vocabulary, length = config.model.vocabulary, config.sequence_length
    reader = Reader(length=length, vocabulary=vocabulary, document_mask=config.data.document_mask)
    tokenizer = parse_tokenizer(inputs.tokenizer, "tokenizer.json")
    source = training_data(config, inputs.corpus, reader, rank=world.rank, size=world.size)
    folder, tree, provenance = Path(config.run.output) / "checkpoints", resolved(config), inputs.provenance

    def save(progress: Progress) -> None:
        checkpoint.save(
            folder, checkpoint.model_tensors(model) | optimizers.tensors(), progress, world=world, kind=KIND,
            config=tree, tokenizer=inputs.tokenizer, provenance=provenance,
        )  # fmt: skip
        if world.main:
            checkpoint.tidy(folder, keep=config.checkpoint.keep, keep_every=config.checkpoint.keep_every)

    validation = Validation(config, inputs.corpus, reader, tokenizer, model, world) if inputs.corpus.held_out else None
    start = inputs.corpus.tokenizer.end_of_text_id
    samples = Samples(config, start, tokenizer, model, world, logs) if config.run.sample_every is not None else None
    return Job(
        model=model, optimizers=optimizers, source=source, world=world, logs=logs, steps=config.batch.steps,
        optimizer=config.optimizer, parallel=config.parallel, checkpoint=config.checkpoint, run=config.run,
        flops_per_token=flops_per_token(config.model, length), save=save, validate=validation,
        validate_every=config.validation.every, sample=samples,
    )  # fmt: skip


def resume_point(inputs: Inputs, folder: Path, *, check_hashes: bool) -> Checkpoint | None:
    """The newest checkpoint of this very run; None when there is none yet.

    Raises:
        ConfigError: the folder holds another run's checkpoints, or `run.resume` is false and it holds any.
        InputError, IntegrityError: the newest checkpoint is damaged.
    """
    if not checkpoint.steps(folder):
        return None
    if not inputs.config.run.resume:
        problem = f"{folder.parent} holds checkpoints, and run.resume is false"
        raise ConfigError("run.output", problem, hint="give an empty folder, or set run.resume=true")
    found = checkpoint.read(folder, check_hashes=check_hashes)
    if found.kind != KIND:
        raise ConfigError("run.output", f"{folder.parent} holds checkpoints of a {found.kind} run")
    changed = differences(
        identity(found.config, found.provenance), identity(resolved(inputs.config), inputs.provenance)
    )
    if changed:
        problem = f"{found.path} was trained with another config: {'; '.join(changed)}"
        hint = "undo the change, or give another run.output (and init_from, to start from these weights)"
        raise ConfigError("run.output", problem, hint=hint)
    return found


def identity(config: Tree, provenance: Tree) -> Tree:
    """The part of a run that decides what is learned; paths are left out, content is named by its SHA-256."""
    tokens = [{"weight": source["weight"], "sha256": source["sha256"]} for source in provenance.get("tokens", [])]
    data = {key: value for key, value in config["data"].items() if key not in ("tokens", "tokenizer")}
    held_out = {key: config["validation"][key] for key in ("fraction", "shards")}
    held_out["off"] = config["validation"]["every"] is None or config["validation"]["path"] is not None
    batch = {key: config["batch"][key] for key in ("steps", "tokens")}
    return {
        "seed": config["seed"], "model": config["model"], "data": {**data, "sha256": tokens}, "batch": batch,
        "optimizer": config["optimizer"], "validation": held_out, "init_from": provenance.get("init_from"),
    }  # fmt: skip


def describe(inputs: Inputs, world: World, progress: Progress) -> str:
    """One line that says what is about to happen."""
    config, corpus = inputs.config, inputs.corpus
    sequences = sum(len(windows) for windows in corpus.train)
    parameters = parameter_count(config.model)
    held_out = 0 if corpus.held_out is None else len(corpus.held_out)
    start = reach(progress.step, config.batch.steps, "new weights")
    return (
        f"{config.model.type} of {parameters:,} parameters on {world.size} x {world.device.type}, {start}; "
        f"{sequences:,} sequences of {config.sequence_length} to train on, {held_out:,} held out, "
        f"{config.sequences_per_step * config.batch.steps / sequences:.2f} epochs"
    )


def ended(config: PretrainConfig, number: int) -> Stopped:
    """The end of a run by a signal."""
    return stopped(number, checkpoint.steps(Path(config.run.output) / "checkpoints"), config.batch.steps)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 done, 2 the user's mistake, 1 anything else, 128 + n ended by signal n."""
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain", description="Pretrain a model on token shards."
    )
    parser.add_argument("config", help="a YAML file, as in configs/training/")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, as a.b=value")
    options = parser.parse_args(arguments)
    try:
        inputs = open_inputs(load_config(options.config, options.set))
        outcome = run(inputs, distributed.start(inputs.config.parallel))
        if outcome.signal is not None:
            raise ended(inputs.config, outcome.signal)
    except Stopped as error:
        if speaks():
            print(f"stopped by {error}", file=sys.stderr)
        return error.exit_code
    except TokenmillError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    distributed.leave(main())
