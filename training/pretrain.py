"""Pretraining: the main path of the model half.

    python -m training.pretrain CONFIG [--set a.b=value ...]
    torchrun --nproc-per-node 8 -m training.pretrain CONFIG

config -> open the shards -> a sharded model -> the newest checkpoint, if there is one -> the loop. What is common to
all training is in `run.py`; here is what pretraining brings. To resume, run the same command.
"""

if __name__ == "__main__":  # before torch is imported, which takes seconds
    from training.runtime.stopping import install_handler, stop_now

    install_handler(stop_now)

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from pipeline.contract.config import resolved
from pipeline.contract.errors import ConfigError
from pipeline.contract.yaml_text import Tree
from training import checkpoint, run
from training.config import PretrainConfig, load_config
from training.data.batches import BatchSource
from training.data.corpus import Corpus, open_corpus
from training.data.token_batches import WindowReader, training_batches
from training.data.tokenizer import byte_lengths, parse_tokenizer, read_tokenizer
from training.evaluation.samples import Prompt, Samples, training_sampling
from training.evaluation.validation import TokenValidation
from training.model.flops import flops_per_token, parameter_count
from training.model.transformer import Transformer
from training.run import Run
from training.runtime import distributed
from training.runtime.distributed import World
from training.runtime.logs import Logs

MODULE = "training.pretrain"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a run reads, opened and checked before any process or GPU is used."""

    config: PretrainConfig
    """With the vocabulary filled in."""
    corpus: Corpus
    tokenizer_bytes: bytes
    """Content of tokenizer.json."""
    tokenizer: Tokenizer

    @property
    def reader(self) -> WindowReader:
        """Windows as batches."""
        vocabulary, mask = self.config.model.known_vocab_size, self.config.data.document_mask
        return WindowReader(length=self.config.sequence_length, vocab_size=vocabulary, document_mask=mask)

    def provenance(self) -> Tree:
        """What a checkpoint says it was made from."""
        parent = None if self.config.init_from is None else checkpoint.fingerprint(self.config.init_from)
        tokenizer = dataclasses.asdict(self.corpus.tokenizer)
        return {"tokens": self.corpus.provenance, "tokenizer": tokenizer, "init_from": parent}

    def source(self, world: World) -> BatchSource:
        """The training sequences, for one process."""
        return training_batches(self.config, self.corpus, self.reader, rank=world.rank, size=world.size)

    def initialize(self, model: Transformer) -> None:
        """The weights of `init_from`, where it is given."""
        if self.config.init_from is not None:
            checkpoint.load_weights(self.config.init_from, model)

    def describe(self, world: World, from_to: str) -> str:
        """One line that says what is about to happen."""
        config, held_out = self.config, self.corpus.held_out
        sequences = sum(len(windows) for windows in self.corpus.train)
        return (
            f"{config.model.type} of {parameter_count(config.model):,} parameters on {world.size} x "
            f"{world.device.type}, {from_to}; {sequences:,} sequences of {config.sequence_length} to train on, "
            f"{0 if held_out is None else len(held_out):,} held out, "
            f"{config.sequences_per_step * config.batch.steps / sequences:.2f} epochs"
        )

    def validation(self, model: Transformer, world: World) -> TokenValidation:
        """The loss on the held-out documents."""
        assert self.corpus.held_out is not None
        lengths = byte_lengths(self.tokenizer, self.config.model.known_vocab_size)
        if lengths is not None:
            lengths[self.corpus.tokenizer.end_of_text_id] = 0
        return TokenValidation(
            model=model, world=world, windows=self.corpus.held_out, reader=self.reader,
            sequences=self.config.validation.sequences, micro_batch_size=self.config.batch.micro_batch_size,
            loss_chunk=self.config.parallel.loss_chunk, byte_lengths=lengths,
        )  # fmt: skip

    def samples(self, model: Transformer, world: World, logs: Logs) -> Samples:
        """Text that goes on from each prompt, or from the start of a document."""
        settings, start = self.config.run, self.corpus.tokenizer.end_of_text_id
        prompts = [
            Prompt(label=text, ids=[start, *self.tokenizer.encode(text, add_special_tokens=False).ids])
            for text in settings.sample_prompts
        ]
        return Samples(
            model=model, world=world, logs=logs, prompts=prompts, stop_ids=[start], decode=self.tokenizer.decode,
            sampling=training_sampling(settings.sample_tokens, self.config.seed), dtype=self.config.parallel.dtype,
        )  # fmt: skip


def open_inputs(config: PretrainConfig) -> Inputs:
    """Open shards and tokenizer, and see that they fit the model.

    Raises:
        UserError: something is missing, damaged or does not fit.
    """
    corpus = open_corpus(config)
    info = corpus.tokenizer
    given = config.model.vocab_size
    if given is not None and given < info.vocabulary_size:
        problem = f"{given} is too small for the shards' tokenizer '{info.name}', which has {info.vocabulary_size} ids"
        raise ConfigError("model.vocab_size", problem, hint="leave it out: it is then taken from the shards")
    model = dataclasses.replace(config.model, vocab_size=given or info.vocabulary_size)
    content = read_tokenizer(config.data.tokenizer, corpus.sets[0].folder, info)
    tokenizer = parse_tokenizer(content, config.data.tokenizer or str(corpus.sets[0].folder))
    config = dataclasses.replace(config, model=model)
    return Inputs(config=config, corpus=corpus, tokenizer_bytes=content, tokenizer=tokenizer)


def pretraining_run(config: PretrainConfig) -> Run:
    """A run, its inputs opened and checked.

    Raises:
        UserError: see `open_inputs`.
    """
    inputs = open_inputs(config)
    config = inputs.config
    return Run(
        kind="pretrain", config=config, resolved=resolved(config), provenance=inputs.provenance(), identity=identity,
        changed_hint="undo the change, or give another run.output (and init_from, to start from these weights)",
        model=config.model, tokenizer=inputs.tokenizer_bytes, checkpoint_files={}, steps=config.batch.steps,
        source=inputs.source, flops_per_token=flops_per_token(config.model, config.sequence_length),
        initialize=inputs.initialize, start="new weights", head_losses=None, describe=inputs.describe,
        write_facts=None, validate=None if inputs.corpus.held_out is None else inputs.validation,
        validate_every=config.validation.every, sample=None if config.run.sample_every is None else inputs.samples,
    )  # fmt: skip


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


def open_run(config_path: str | Path, overrides: Sequence[str]) -> Run:
    """See `run.OpenRun`."""
    return pretraining_run(load_config(config_path, overrides))


def launch(config_path: str | Path, overrides: Sequence[str] = (), nproc: int | None = None) -> int:
    """`tokenmill train`; see `run.launch`."""
    return run.launch(open_run, MODULE, config_path, overrides, nproc)


def main(arguments: Sequence[str] | None = None) -> int:
    """One process's command; see `run.main`."""
    return run.main(open_run, MODULE, "Pretrain a model on token shards.", arguments)


if __name__ == "__main__":
    distributed.exit_process(main())
