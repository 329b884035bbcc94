"""Supervised fine-tuning: a pretrained checkpoint and conversations in, a chat model out.

    python -m training.sft CONFIG [--set a.b=value ...]
    torchrun --nproc-per-node 8 -m training.sft CONFIG

config -> the parent checkpoint, its tokenizer with chat tokens added -> conversations as checked, packed rows -> the
same loop as pretraining. The loss is the mean over the assistant's tokens of a step, on all processes. To resume, run
the same command.
"""

if __name__ == "__main__":  # before torch is imported, which takes seconds
    from training.runtime.stopping import handle, stop_now

    handle(stop_now)

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.contract.config import differences, resolved
from pipeline.contract.errors import ConfigError, Stopped, TokenmillError
from pipeline.contract.manifest import TokenizerInfo, write_json
from pipeline.contract.yaml_text import Tree
from training import parallel
from training.chat.batches import ChatBatches, row_batches
from training.chat.corpus import ChatCorpus, open_chat
from training.chat.format import ChatFormat, Message, add_chat_tokens, check_tokenizer, template
from training.chat.preview import preview_page
from training.chat.vocabulary import Vocabulary
from training.checkpoints import checkpoint
from training.checkpoints.checkpoint import Checkpoint, Progress
from training.config import ModelConfig
from training.loop import Job, Outcome, fit, reach
from training.losses import next_token_losses, sparse_head_losses
from training.model.flops import flops_per_token
from training.model.generation import Sampling, generate
from training.model.optimizers import Optimizers, build_optimizers
from training.model.transformer import Transformer
from training.runtime import distributed
from training.runtime.distributed import World
from training.runtime.launch import processes, run_processes
from training.runtime.logs import Logs, NoLogs, RunLogs
from training.runtime.stopping import SIGNALS, speaks, stopped
from training.sft_config import SftConfig, load_sft_config

KIND = "sft"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a run reads, opened and checked before any process or GPU is used."""

    config: SftConfig
    parent: Checkpoint
    model: ModelConfig
    """The parent's, with room for the chat tokens."""
    vocabulary: Vocabulary
    """With the chat tokens."""
    tokenizer: bytes
    """Content of tokenizer.json."""
    corpus: ChatCorpus
    length: int
    """Tokens per row."""

    @property
    def format(self) -> ChatFormat:
        """The chat format."""
        return self.vocabulary.format()

    @property
    def resolved(self) -> Tree:
        """The resolved config, with the `model` section that every checkpoint has."""
        return {**resolved(self.config), "model": resolved(self.model)}

    @property
    def provenance(self) -> Tree:
        """What a checkpoint says it was made from."""
        info = TokenizerInfo(
            name=f"{self.parent.tokenizer_info.name} + chat",
            sha256=hashlib.sha256(self.tokenizer).hexdigest(),
            vocabulary_size=self.vocabulary.tokenizer.get_vocab_size(),
            end_of_text_id=self.vocabulary.end_of_text_id,
        )
        return {
            "tokenizer": dataclasses.asdict(info),
            "base_tokenizer": self.parent.provenance.get("base_tokenizer", self.parent.provenance["tokenizer"]),
            "init_from": checkpoint.fingerprint(self.parent.path),
            "conversations": list(self.corpus.files),
            "chat_template_sha256": hashlib.sha256(template().encode()).hexdigest(),
        }


def open_inputs(config: SftConfig) -> Inputs:
    """Open the parent and the conversations, and see that they fit.

    Raises:
        UserError: something is missing, damaged or does not fit; the gate (`sft_data.check`) refuses a row.
    """
    parent = checkpoint.read(config.init_from)
    base = checkpoint.load_tokenizer(parent.tokenizer_path)
    tokenizer = add_chat_tokens(base)
    vocabulary = Vocabulary(tokenizer=tokenizer, end_of_text_id=parent.tokenizer_info.end_of_text_id)
    check_tokenizer(tokenizer, vocabulary.format())
    before = parent.model_config
    size = max(before.vocabulary, tokenizer.get_vocab_size())
    length = config.data.sequence_length or before.context_length
    if length > before.context_length:
        problem = f"{length} is above the model's context_length {before.context_length}"
        raise ConfigError("data.sequence_length", problem)
    return Inputs(
        config=config,
        parent=parent,
        model=dataclasses.replace(before, vocabulary_size=size),
        vocabulary=vocabulary,
        tokenizer=tokenizer.to_str(pretty=True).encode(),
        corpus=open_chat(config, vocabulary.format(), length),
        length=length,
    )


def run(inputs: Inputs, world: World) -> Outcome:
    """Train to the end, or until a signal; every process calls it.

    Raises:
        UserError: a checkpoint that does not fit the config.
        TokenmillError: see `loop.fit`.
    """
    config, folder = inputs.config, Path(inputs.config.run.output) / "checkpoints"
    found = resume_point(inputs, folder)
    model = parallel.parallelize(inputs.model, config.parallel, world, config.seed)
    if not config.parallel.compile:
        model.head_losses = sparse_head_losses
    optimizers = build_optimizers(model, config.optimizer)
    progress = Progress()
    if found is None:
        checkpoint.load_weights(inputs.parent.path, model)
        start_unused_rows(model, inputs)
    else:
        checkpoint.load_tensors(found.path, checkpoint.model_tensors(model) | optimizers.tensors())
        progress = found.progress
    source = training_rows(inputs, world)
    check_steps(config, source.steps)
    logs: Logs = NoLogs()
    if world.main:
        checkpoint.tidy(folder, keep=None)
        output = Path(config.run.output)
        logs = RunLogs(output, first=progress.step, steps=source.steps, tensorboard=config.run.tensorboard)
        write_json(output / "data.json", facts(inputs))
        page = preview_page(inputs.corpus.train.rows, inputs.vocabulary.tokenizer, "What fine-tuning learns")
        (output / "data.html").write_text(page, encoding="utf-8")
    try:
        start = reach(progress.step, source.steps, str(inputs.parent.path))
        logs.say(f"{inputs.corpus.describe()}; {start} on {world.size} x {world.device.type}")
        return fit(job(inputs, world, model, optimizers, source, logs), progress)
    finally:
        logs.close()


def training_rows(inputs: Inputs, world: World) -> ChatBatches:
    """The rows in their order, for this process."""
    batch = inputs.config.batch
    return ChatBatches(
        inputs.corpus.train.rows, epochs=batch.epochs, count=batch.rows, micro=batch.micro_rows,
        seed=inputs.config.seed, rank=world.rank, size=world.size,
    )  # fmt: skip


def check_steps(config: SftConfig, steps: int) -> None:
    """Refuse a warm-up that never ends.

    Raises:
        ConfigError: it is as long as the run.
    """
    if config.optimizer.warmup_steps >= steps:
        problem = f"must be below the {steps} steps of the run, got {config.optimizer.warmup_steps}"
        raise ConfigError("optimizer.warmup_steps", problem, hint="set it lower, or batch.epochs higher")


@torch.no_grad()
def start_unused_rows(model: Transformer, inputs: Inputs) -> None:
    """Chat tokens whose ids the parent had room for, but no token: their rows too start from the mean of the known.

    (Ids beyond the parent's vocabulary were seen to by `checkpoint.load_weights`.)
    """
    known = inputs.parent.tokenizer_info.vocabulary_size
    last = min(inputs.vocabulary.tokenizer.get_vocab_size(), inputs.parent.model_config.vocabulary)
    if known >= last:
        return
    for table in [model.embed.weight, *([] if model.head is None else [model.head.weight])]:
        rows = distributed.whole(table).clone()
        rows[known:last] = rows[:known].mean(dim=0)
        distributed.assign(table, rows)


def job(
    inputs: Inputs, world: World, model: Transformer, optimizers: Optimizers, source: ChatBatches, logs: Logs
) -> Job:
    """The loop's job."""
    config = inputs.config
    folder, tree, provenance = Path(config.run.output) / "checkpoints", inputs.resolved, inputs.provenance

    def save(progress: Progress) -> None:
        checkpoint.save(
            folder, checkpoint.model_tensors(model) | optimizers.tensors(), progress, world=world, kind=KIND,
            config=tree, tokenizer=inputs.tokenizer, provenance=provenance,
            files={"chat_template.jinja": template().encode()},
        )  # fmt: skip
        if world.main:
            checkpoint.tidy(folder, keep=config.checkpoint.keep, keep_every=config.checkpoint.keep_every)

    train = inputs.corpus.train
    # The loop counts learned tokens; each stands for the work on all cells of its row.
    work = flops_per_token(inputs.model, inputs.length) * train.rows.tokens.size / train.counts["supervised"]
    measured = inputs.corpus.held_out is not None and config.validate_every is not None
    sampled = config.run.sample_every is not None and any(config.run.sample_prompts)
    return Job(
        model=model, optimizers=optimizers, source=source, world=world, logs=logs, steps=source.steps,
        optimizer=config.optimizer, parallel=config.parallel, checkpoint=config.checkpoint, run=config.run,
        flops_per_token=work, save=save,
        validate=Validation(inputs, model, world) if measured else None, validate_every=config.validate_every,
        sample=Samples(inputs, model, world, logs) if sampled else None,
    )  # fmt: skip


class Validation:
    """The loss on held-out conversations, per learned token."""

    def __init__(self, inputs: Inputs, model: Transformer, world: World) -> None:
        self._inputs, self._model, self._world = inputs, model, world

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """`validation_loss` in nats per learned token."""
        config, world, held_out = self._inputs.config, self._world, self._inputs.corpus.held_out
        assert held_out is not None
        sums = torch.zeros(2, dtype=torch.float64)
        every = range(len(held_out.rows.tokens))
        for batch in row_batches(held_out.rows, every, micro=config.batch.micro_rows, rank=world.rank, size=world.size):
            here = batch.to(world.device)
            nats = next_token_losses(self._model, here, chunk=config.parallel.loss_chunk)
            sums += torch.tensor([nats.double().sum().item(), batch.supervised], dtype=torch.float64)
        total, tokens = distributed.sum_over(world, sums.to(world.device)).tolist()
        return {"validation_loss": total / tokens}


class Samples:
    """Replies the model gives while it is trained."""

    def __init__(self, inputs: Inputs, model: Transformer, world: World, logs: Logs) -> None:
        self._run, self._seed, self._vocabulary = inputs.config.run, inputs.config.seed, inputs.vocabulary
        self._format, self._model, self._logs = inputs.format, model, logs
        dtype = parallel.matmul_dtype(inputs.config.parallel.dtype, world.device)
        self._like = torch.empty(0, dtype=dtype, device=world.device)

    def __call__(self, step: int) -> None:
        """Answer each prompt; all processes together, since each holds a part of the model."""
        asked = [text for text in self._run.sample_prompts if text]
        prompts = [self._format.prompt([Message("user", text)]) for text in asked]
        sampling = Sampling(max_tokens=self._run.sample_tokens, temperature=0.8, top_k=50, seed=self._seed)
        stop = self._vocabulary.stop_ids
        # Compiling for every length of the cache would take longer than the samples.
        with torch.compiler.set_stance("force_eager"):
            written = generate(self._model, prompts, sampling, stop=stop, like=self._like)
        for text, ids in zip(asked, written, strict=True):
            reply = self._vocabulary.decode([id for id in ids if id not in stop])
            self._logs.sample(step, f"{text} -> ", reply)


def facts(inputs: Inputs) -> Tree:
    """`data.json`: what was read and what became of it."""
    corpus = inputs.corpus
    held_out = None if corpus.held_out is None else dict(corpus.held_out.counts)
    return {
        "train": dict(corpus.train.counts),
        "held_out": held_out,
        "skipped_lines": dict(corpus.skipped),
        "padding": corpus.train.rows.padding(),
        "files": list(corpus.files),
    }


def resume_point(inputs: Inputs, folder: Path, *, check_hashes: bool = True) -> Checkpoint | None:
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
    changed = differences(identity(found.config, found.provenance), identity(inputs.resolved, inputs.provenance))
    if changed:
        problem = f"{found.path} was trained with another config: {'; '.join(changed)}"
        raise ConfigError("run.output", problem, hint="undo the change, or give another run.output")
    return found


def identity(config: Tree, provenance: Tree) -> Tree:
    """The part of a run that decides what is learned; paths are left out, content is named by its SHA-256."""
    data = {key: value for key, value in config["data"].items() if key not in ("train", "validation")}
    files = [file["sha256"] for file in provenance.get("conversations", [])]
    return {
        "seed": config["seed"],
        "model": config["model"],
        "data": {**data, "files": files, "train": len(config["data"]["train"])},
        "batch": {key: config["batch"][key] for key in ("epochs", "rows")},
        "optimizer": config["optimizer"],
        **{key: provenance.get(key) for key in ("init_from", "tokenizer", "chat_template_sha256")},
    }


def ended(inputs: Inputs, number: int) -> Stopped:
    """The end of a run by a signal."""
    steps = training_rows(inputs, World(device=torch.device("cpu"))).steps
    return stopped(number, checkpoint.steps(Path(inputs.config.run.output) / "checkpoints"), steps)


def launch_sft(config_path: str | Path, overrides: Sequence[str] = (), nproc: int | None = None) -> int:
    """Fine-tune with `nproc` processes on this machine; returns the exit code. See `launch.launch`.

    Raises:
        UserError: what `open_inputs` raises, or an impossible `nproc`.
        Stopped: a signal ended the run.
    """
    inputs = open_inputs(load_sft_config(config_path, overrides))
    check_steps(inputs.config, training_rows(inputs, World(device=torch.device("cpu"))).steps)
    resume_point(inputs, Path(inputs.config.run.output) / "checkpoints", check_hashes=False)
    arguments = [str(config_path), *(word for override in overrides for word in ("--set", override))]
    code = run_processes(["-m", "training.sft", *arguments], processes(nproc, inputs.config.parallel.device))
    if code - 128 in SIGNALS:
        raise ended(inputs, code - 128)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 done, 2 the user's mistake, 1 anything else, 128 + n ended by signal n."""
    parser = argparse.ArgumentParser(prog="python -m training.sft", description="Fine-tune a model on conversations.")
    parser.add_argument("config", help="a YAML file, as in configs/training/")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, as a.b=value")
    options = parser.parse_args(arguments)
    try:
        inputs = open_inputs(load_sft_config(options.config, options.set))
        outcome = run(inputs, distributed.start(inputs.config.parallel))
        if outcome.signal is not None:
            raise ended(inputs, outcome.signal)
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
