"""A checkpoint as a Hugging Face model folder.

    llama -> LlamaForCausalLM        gpt2 -> GPT2LMHeadModel

Both families are shaped as their Hugging Face twins, so export only renames: rotary weights already have the
rotate-half layout; GPT-2's linear layers are stored transposed there (Conv1D) with q, k and v in one matrix. Rows that
pad the vocabulary are left out, and so is the head where it is tied. `parity.json` says how far transformers' log
probabilities of fixed prompts are from ours.
"""

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.contract.errors import ConfigError, InputError, IntegrityError, nearest
from pipeline.contract.manifest import read_json, write_json
from training.chat.format import END_OF_TURN, PAD, template
from training.chat.loaded_model import load_model
from training.chat.vocabulary import Vocabulary
from training.config import ModelConfig
from training.model.transformer import Transformer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Dtype = Literal["float32", "bfloat16", "float16"]
SHARD_BYTES = 5_000_000_000
"""Above this the tensors are spread over several files, as transformers does."""
PARITY_PROMPTS = ("", "The", "Water boils at", "def add(a, b):\n    return", "1 2 3 4 5 6 7 8")
PARITY_LIMIT = 1e-3
"""Largest difference of a float32 log probability that is rounding and not a mistake."""

_LLAMA_BLOCK = {
    "attention.q": "self_attn.q_proj", "attention.k": "self_attn.k_proj", "attention.v": "self_attn.v_proj",
    "attention.o": "self_attn.o_proj", "mlp.gate": "mlp.gate_proj", "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj", "attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm",
}  # fmt: skip
_GPT2_BLOCK = {"attention.o": "attn.c_proj", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}


def run_export(path: str | Path, output: str | Path, dtype: str = "float32") -> str:
    """Export a checkpoint (`--to hf`); the folder appears whole, and only if transformers reads it as we do.

    Args:
        path: a checkpoint, or a run folder.
        output: a folder that does not exist, or is empty.
        dtype: float32, bfloat16 or float16.

    Returns:
        What was written, for the user.

    Raises:
        ConfigError: an unknown dtype.
        InputError: no checkpoint, an `output` that holds something, or a shape without a twin in transformers.
        IntegrityError: transformers finds other log probabilities.
    """
    if dtype not in DTYPES:
        raise ConfigError("--dtype", f"unknown type '{dtype}'", known=DTYPES, hint=nearest(dtype, DTYPES))
    opened = load_model(path, "cpu", torch.float32)
    folder = write_hf(opened.model, opened.vocabulary, Path(output), dtype=cast(Dtype, dtype), check=True)
    certificate = read_json(folder / "parity.json")
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    worst, reader = certificate["largest_difference"], certificate["reader"]
    parity = "transformers is not installed: not compared"
    if worst is not None:
        parity = f"{reader}: log probabilities within {worst:.1e}"
    return f"{opened.checkpoint.path} -> {folder} ({size / 1e6:,.1f} MB; {parity})"


def write_hf(
    model: Transformer,
    vocabulary: Vocabulary,
    output: Path,
    *,
    dtype: Dtype = "float32",
    shard_bytes: int = SHARD_BYTES,
    check: bool = False,
) -> Path:
    """Write `output`, whole or not at all.

    Args:
        model: on any device, unsharded.
        vocabulary: its tokenizer.
        output: a folder that does not exist, or is empty.
        dtype: of the stored tensors.
        shard_bytes: the most that one tensor file holds.
        check: compare with transformers, if it is installed, before the folder appears; see `certify`.

    Raises:
        InputError: `output` holds something; the shape has no twin in transformers.
        IntegrityError: transformers finds other log probabilities.
    """
    config = hf_config(model.config, vocabulary, dtype)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(str(output), "exists and is not empty", hint="export to a new folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{uuid.uuid4().hex}.tmp")
    partial.mkdir()
    try:
        write_tensors(dict(hf_tensors(model.state_dict(), model.config)), partial, DTYPES[dtype], shard_bytes)
        write_json(partial / "config.json", config)
        write_json(partial / "generation_config.json", generation_config(vocabulary))
        write_tokenizer(vocabulary, model.config.context_length, partial)
        if check:
            certify(model, vocabulary, partial, dtype)
        if output.exists():
            output.rmdir()
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output


def hf_config(config: ModelConfig, vocabulary: Vocabulary, dtype: Dtype) -> dict[str, Any]:
    """`config.json`, in the words of transformers 5 and of version 4 where they differ.

    Raises:
        InputError: the shape has no twin in transformers.
    """
    size, heads, head_dim = config.hidden_size, config.num_heads, config.effective_head_dim
    if size % heads or (config.type == "gpt2" and head_dim != size // heads):
        problem = f"hidden_size {size} with {heads} heads of {head_dim} has no twin in transformers"
        raise InputError("model", problem)
    common = {
        "vocab_size": config.known_vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": config.init_std,
        "bos_token_id": vocabulary.end_of_text_id,
        "eos_token_id": vocabulary.stop_ids[0],
        "pad_token_id": vocabulary.pad_id,
        "dtype": dtype,
        "torch_dtype": dtype,
    }
    return {**common, **(_gpt2_config(config) if config.type == "gpt2" else _llama_config(config))}


def _llama_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.hidden_size,
        "intermediate_size": config.effective_intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.effective_num_kv_heads,
        "head_dim": config.effective_head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "use_cache": True,
    }


def _gpt2_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": config.hidden_size,
        "n_inner": config.effective_intermediate_size,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_positions": config.context_length,
        "n_ctx": config.context_length,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.norm_eps,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "use_cache": True,
    }


def generation_config(vocabulary: Vocabulary) -> dict[str, Any]:
    """`generation_config.json`: every id at which generation stops."""
    stops = vocabulary.stop_ids
    return {
        "bos_token_id": vocabulary.end_of_text_id,
        "eos_token_id": stops if len(stops) > 1 else stops[0],
        "pad_token_id": vocabulary.pad_id if vocabulary.chat else vocabulary.end_of_text_id,
    }


def hf_tensors(state: Mapping[str, Tensor], config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Our tensors under transformers' names, shapes and layout; padding rows and a tied head left out."""
    gpt2, rows = config.type == "gpt2", config.known_vocab_size
    yield "transformer.wte.weight" if gpt2 else "model.embed_tokens.weight", state["embed.weight"][:rows]
    if gpt2:
        yield "transformer.wpe.weight", state["positions.weight"]
    for layer in range(config.num_layers):
        prefix = f"blocks.{layer}."
        block = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        yield from _gpt2_block(block, layer, config) if gpt2 else _llama_block(block, layer)
    last = "transformer.ln_f" if gpt2 else "model.norm"
    yield f"{last}.weight", state["norm.weight"]
    if gpt2:
        yield f"{last}.bias", state["norm.bias"]
    if not config.tie_word_embeddings:
        yield "lm_head.weight", state["head.weight"][:rows]


def _llama_block(block: Mapping[str, Tensor], layer: int) -> Iterator[tuple[str, Tensor]]:
    for ours, theirs in _LLAMA_BLOCK.items():
        yield f"model.layers.{layer}.{theirs}.weight", block[f"{ours}.weight"]


def _gpt2_block(block: Mapping[str, Tensor], layer: int, config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    prefix = f"transformer.h.{layer}."
    for kind in ("weight", "bias"):
        yield f"{prefix}ln_1.{kind}", block[f"attention_norm.{kind}"]
        yield f"{prefix}ln_2.{kind}", block[f"mlp_norm.{kind}"]
        parts = [block[f"attention.{part}.{kind}"] for part in "qkv"]
        parts[1:] = [_every_head(part, config) for part in parts[1:]]
        yield f"{prefix}attn.c_attn.{kind}", torch.cat(parts).T if kind == "weight" else torch.cat(parts)
        for ours, theirs in _GPT2_BLOCK.items():
            value = block[f"{ours}.{kind}"]
            yield f"{prefix}{theirs}.{kind}", value.T if kind == "weight" else value


def _every_head(projection: Tensor, config: ModelConfig) -> Tensor:
    """Keys or values repeated for each query head that shares them: transformers' GPT-2 has no grouped heads."""
    heads = projection.reshape(config.effective_num_kv_heads, config.effective_head_dim, *projection.shape[1:])
    return heads.repeat_interleave(config.num_heads // config.effective_num_kv_heads, dim=0).flatten(0, 1)


def write_tensors(tensors: Mapping[str, Tensor], folder: Path, dtype: torch.dtype, shard_bytes: int) -> None:
    """`model.safetensors`, or numbered parts with their index."""
    groups = _shards({name: value.numel() * dtype.itemsize for name, value in tensors.items()}, shard_bytes)
    names: dict[str, str] = {}
    for number, group in enumerate(groups, 1):
        many = len(groups) > 1
        file = f"model-{number:05d}-of-{len(groups):05d}.safetensors" if many else "model.safetensors"
        part = {name: tensors[name].detach().to("cpu", dtype).contiguous() for name in group}
        save_file(part, folder / file, metadata={"format": "pt"})
        (folder / file).chmod(folder.stat().st_mode & 0o666)  # the library makes it readable for its owner alone
        names |= dict.fromkeys(group, file)
    if len(groups) > 1:
        total = sum(value.numel() * dtype.itemsize for value in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}
        write_json(folder / "model.safetensors.index.json", index)


def _shards(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """Names in order, a new shard begun where the next tensor would go over `limit` bytes."""
    shards: list[list[str]] = [[]]
    room = limit
    for name, size in sizes.items():
        if size > room and shards[-1]:
            shards.append([])
            room = limit
        shards[-1].append(name)
        room -= size
    return shards


def write_tokenizer(vocabulary: Vocabulary, context_length: int, folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json, special_tokens_map.json, and the chat template of a chat model."""
    end = vocabulary.end_of_text
    special = {"bos_token": end, "eos_token": END_OF_TURN if vocabulary.chat else end, "unk_token": end}
    if vocabulary.chat:
        special["pad_token"] = PAD
    tree = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        **special,
    }
    vocabulary.tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "special_tokens_map.json", special)
    if vocabulary.chat:
        (folder / "chat_template.jinja").write_text(template(), encoding="utf-8")
        tree["chat_template"] = template()  # older readers look for it here
    write_json(folder / "tokenizer_config.json", tree)


@torch.inference_mode()
def log_probabilities(model: Any, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
    """The log probability of each id of each prompt after the first, for our model or transformers'."""
    found = []
    for ids in prompts:
        output = model(torch.tensor([ids], device=next(model.parameters()).device))
        logits = output if isinstance(output, Tensor) else output.logits
        scores = logits[0, :-1].float().log_softmax(-1)
        found.append(scores.gather(1, torch.tensor(ids[1:], device=scores.device)[:, None])[:, 0].tolist())
    return found


def certify(model: Transformer, vocabulary: Vocabulary, folder: Path, dtype: Dtype) -> float | None:
    """Load the exported folder with transformers, compare, and write `parity.json`.

    Returns:
        The largest difference of a log probability, or None without transformers.

    Raises:
        IntegrityError: the difference is not rounding (checked for float32).
    """
    limit = model.config.context_length
    prompts = [[vocabulary.end_of_text_id, *vocabulary.encode(text)][:limit] for text in PARITY_PROMPTS]
    prompts = [ids for ids in prompts if len(ids) > 1]
    ours = log_probabilities(model.eval(), prompts)
    theirs, reader = _with_transformers(folder, prompts)
    pairs = [(a, b) for one, two in zip(ours, theirs or [], strict=False) for a, b in zip(one, two, strict=True)]
    worst = max((abs(a - b) for a, b in pairs), default=None)
    certificate = {"reader": reader, "dtype": dtype, "largest_difference": worst}
    write_json(folder / "parity.json", {**certificate, "prompts": prompts, "log_probabilities": ours})
    if worst is not None and dtype == "float32" and worst > PARITY_LIMIT:
        raise IntegrityError(f"{folder}: transformers' log probabilities differ from ours by {worst:.3g}")
    return worst


def _with_transformers(folder: Path, prompts: Sequence[Sequence[int]]) -> tuple[list[list[float]] | None, str | None]:
    try:
        import transformers
    except ImportError:
        return None, None
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # from_pretrained returns the model in evaluation mode.
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    return log_probabilities(model, prompts), f"transformers {transformers.__version__}"
