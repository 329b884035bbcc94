"""Supervised fine-tuning: a pretrained checkpoint and conversations in, a chat model out.

    python -m training.sft CONFIG [--set a.b=value ...]
    torchrun --nproc-per-node 8 -m training.sft CONFIG

config -> the parent checkpoint, its tokenizer with chat tokens added -> conversations as checked, packed rows -> the
same life of a run and the same loop as pretraining (`run.py`). The loss is the mean over the assistant's tokens of a
step, on all processes. To resume, run the same command.
"""

if __name__ == "__main__":  # before torch is imported, which takes seconds
    from training.runtime.stopping import install_handler, stop_now

    install_handler(stop_now)

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.contract.config import resolved
from pipeline.contract.errors import ConfigError
from pipeline.contract.manifest import TokenizerInfo, write_json
from pipeline.contract.yaml_text import Tree
from training import checkpoint, run
from training.chat.batches import ChatBatches
from training.chat.corpus import ChatCorpus, open_chat
from training.chat.format import ChatFormat, Message, add_chat_tokens, check_tokenizer, template
from training.chat.preview import preview_page
from training.chat.vocabulary import Vocabulary
from training.checkpoint import Checkpoint
from training.config import ModelConfig
from training.evaluation.samples import Prompt, Samples, training_sampling
from training.evaluation.validation import ChatValidation
from training.losses import sparse_head_losses
from training.model.flops import flops_per_token
from training.model.transformer import Transformer
from training.run import Run
from training.runtime import distributed
from training.runtime.distributed import World
from training.runtime.logs import Logs
from training.sft_config import SftConfig, load_sft_config

MODULE = "training.sft"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a run reads, opened and checked before any process or GPU is used."""

    config: SftConfig
    parent: Checkpoint
    model: ModelConfig
    """The parent's, with room for the chat tokens."""
    vocabulary: Vocabulary
    """With the chat tokens."""
    tokenizer_bytes: bytes
    """Content of tokenizer.json."""
    corpus: ChatCorpus
    length: int
    """Tokens per row."""

    @property
    def format(self) -> ChatFormat:
        """The chat format."""
        return self.vocabulary.format()

    @property
    def work_per_token(self) -> float:
        """FLOPs per supervised token: each stands for the work on all cells of its row."""
        train = self.corpus.train
        return flops_per_token(self.model, self.length) * train.rows.tokens.size / train.counts["supervised"]

    def provenance(self) -> Tree:
        """What a checkpoint says it was made from."""
        info = TokenizerInfo(
            name=f"{self.parent.tokenizer_info.name} + chat",
            sha256=hashlib.sha256(self.tokenizer_bytes).hexdigest(),
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

    def source(self, world: World) -> ChatBatches:
        """The rows in their order, for one process."""
        batch = self.config.batch
        return ChatBatches(
            self.corpus.train.rows, epochs=batch.epochs, count=batch.rows, micro=batch.micro_batch_size,
            seed=self.config.seed, rank=world.rank, size=world.size,
        )  # fmt: skip

    def initialize(self, model: Transformer) -> None:
        """The parent's weights, and a start for every chat token."""
        checkpoint.load_weights(self.parent.path, model)
        known, last = self.parent.tokenizer_info.vocabulary_size, self.parent.model_config.known_vocab_size
        start_unused_rows(model, known, min(self.vocabulary.tokenizer.get_vocab_size(), last))

    def describe(self, world: World, from_to: str) -> str:
        """One line that says what is about to happen."""
        return f"{self.corpus.describe()}; {from_to} on {world.size} x {world.device.type}"

    def write_facts(self, output: Path) -> None:
        """`data.json`, what was read and what became of it, and `data.html`, the first rows to look at."""
        corpus = self.corpus
        facts = {
            "train": dict(corpus.train.counts),
            "held_out": None if corpus.held_out is None else dict(corpus.held_out.counts),
            "skipped_lines": dict(corpus.skipped),
            "padding": corpus.train.rows.padding(),
            "files": list(corpus.files),
        }
        write_json(output / "data.json", facts)
        page = preview_page(corpus.train.rows, self.vocabulary.tokenizer, "What fine-tuning learns")
        (output / "data.html").write_text(page, encoding="utf-8")

    def validation(self, model: Transformer, world: World) -> ChatValidation:
        """The loss on the held-out conversations."""
        assert self.corpus.held_out is not None
        return ChatValidation(
            model=model, world=world, rows=self.corpus.held_out.rows,
            micro_batch_size=self.config.batch.micro_batch_size, loss_chunk=self.config.parallel.loss_chunk,
        )  # fmt: skip

    def samples(self, model: Transformer, world: World, logs: Logs) -> Samples:
        """A reply to each prompt."""
        settings, format = self.config.run, self.format
        prompts = [
            Prompt(label=f"{text} -> ", ids=format.prompt([Message("user", text)]))
            for text in settings.sample_prompts
            if text
        ]
        return Samples(
            model=model, world=world, logs=logs, prompts=prompts, stop_ids=self.vocabulary.stop_ids,
            decode=self.vocabulary.decode, sampling=training_sampling(settings.sample_tokens, self.config.seed),
            dtype=self.config.parallel.dtype,
        )  # fmt: skip


def open_inputs(config: SftConfig) -> Inputs:
    """Open the parent and the conversations, and see that they fit.

    Raises:
        UserError: something is missing, damaged or does not fit; the gate (`chat.corpus.check_rows`) refuses a row.
    """
    parent = checkpoint.read(config.init_from)
    tokenizer = add_chat_tokens(checkpoint.load_tokenizer(parent.tokenizer_path))
    vocabulary = Vocabulary(tokenizer=tokenizer, end_of_text_id=parent.tokenizer_info.end_of_text_id)
    check_tokenizer(tokenizer, vocabulary.format())
    before = parent.model_config
    size = max(before.known_vocab_size, tokenizer.get_vocab_size())
    length = config.data.sequence_length or before.context_length
    if length > before.context_length:
        problem = f"{length} is above the model's context_length {before.context_length}"
        raise ConfigError("data.sequence_length", problem)
    return Inputs(
        config=config,
        parent=parent,
        model=dataclasses.replace(before, vocab_size=size),
        vocabulary=vocabulary,
        tokenizer_bytes=tokenizer.to_str(pretty=True).encode(),
        corpus=open_chat(config, vocabulary.format(), length),
        length=length,
    )


def sft_run(config: SftConfig) -> Run:
    """A run, its inputs opened and checked.

    Raises:
        UserError: see `open_inputs`; a warm-up as long as the run.
    """
    inputs = open_inputs(config)
    steps = inputs.source(World(device=torch.device("cpu"))).steps
    if config.optimizer.warmup_steps >= steps:
        problem = f"must be below the {steps} steps of the run, got {config.optimizer.warmup_steps}"
        raise ConfigError("optimizer.warmup_steps", problem, hint="set it lower, or batch.epochs higher")
    measured = inputs.corpus.held_out is not None and config.validation.every is not None
    sampled = config.run.sample_every is not None and any(config.run.sample_prompts)
    return Run(
        kind="sft", config=config, resolved={**resolved(config), "model": resolved(inputs.model)},
        provenance=inputs.provenance(), identity=identity,
        changed_hint="undo the change, or give another run.output",
        model=inputs.model, tokenizer=inputs.tokenizer_bytes,
        checkpoint_files={"chat_template.jinja": template().encode()}, steps=steps,
        source=inputs.source, flops_per_token=inputs.work_per_token,
        initialize=inputs.initialize, start=str(inputs.parent.path),
        head_losses=None if config.parallel.compile else sparse_head_losses, describe=inputs.describe,
        write_facts=inputs.write_facts, validate=inputs.validation if measured else None,
        validate_every=config.validation.every, sample=inputs.samples if sampled else None,
    )  # fmt: skip


@torch.no_grad()
def start_unused_rows(model: Transformer, known: int, last: int) -> None:
    """Start ids `known` to `last`, for which the parent had room but no token, from the mean of the known ones.

    (Ids beyond the parent's vocabulary are seen to by `checkpoint.load_weights`.)
    """
    if known >= last:
        return
    for table in [model.embed.weight, *([] if model.head is None else [model.head.weight])]:
        rows = distributed.full_tensor(table).clone()
        rows[known:last] = rows[:known].mean(dim=0)
        distributed.copy_full_tensor(table, rows)


def identity(config: Tree, provenance: Tree) -> Tree:
    """The part of a run that decides what is learned; paths are left out, content is named by its SHA-256."""
    data = {key: value for key, value in config["data"].items() if key != "train"}
    files = [file["sha256"] for file in provenance.get("conversations", [])]
    return {
        "seed": config["seed"],
        "model": config["model"],
        "data": {**data, "files": files, "train": len(config["data"]["train"])},
        "batch": {key: config["batch"][key] for key in ("epochs", "rows")},
        "optimizer": config["optimizer"],
        "validation": {"fraction": config["validation"]["fraction"]},
        **{key: provenance.get(key) for key in ("init_from", "tokenizer", "chat_template_sha256")},
    }


def open_run(config_path: str | Path, overrides: Sequence[str]) -> Run:
    """See `run.OpenRun`."""
    return sft_run(load_sft_config(config_path, overrides))


def launch(config_path: str | Path, overrides: Sequence[str] = (), nproc: int | None = None) -> int:
    """`tokenmill sft`; see `run.launch`."""
    return run.launch(open_run, MODULE, config_path, overrides, nproc)


def main(arguments: Sequence[str] | None = None) -> int:
    """One process's command; see `run.main`."""
    return run.main(open_run, MODULE, "Fine-tune a model on conversations.", arguments)


if __name__ == "__main__":
    distributed.exit_process(main())
