"""Exported models, loaded with transformers, give our logits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from pipeline.contract.errors import ConfigError, InputError, IntegrityError
from training.chat.format import Message, add_chat_tokens
from training.chat.vocabulary import Vocabulary
from training.model.transformer import Transformer
from training.tools.export import certify, run_export, write_hf

transformers = pytest.importorskip("transformers")
SHAPES = [
    {"type": "llama", "num_kv_heads": 2, "tie_word_embeddings": True},
    {
        "type": "llama",
        "num_kv_heads": 1,
        "tie_word_embeddings": False,
        "rope_theta": 5000.0,
        "intermediate_size": 40,
        "head_dim": 12,
    },
    {"type": "llama", "tie_word_embeddings": False, "vocab_size": 320},  # nothing padded
    {"type": "gpt2", "tie_word_embeddings": True, "norm_eps": 1e-3},
    {"type": "gpt2", "tie_word_embeddings": False, "intermediate_size": 40},
    {
        "type": "gpt2",
        "num_kv_heads": 2,
        "tie_word_embeddings": True,
    },  # grouped heads, which transformers' GPT-2 has not
]


@pytest.fixture
def chat_vocabulary(byte_tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer=add_chat_tokens(byte_tokenizer), end_of_text_id=256)


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_equal_ours(
    random_model: Callable[..., Transformer], chat_vocabulary: Vocabulary, tmp_path: Path, shape: dict[str, Any]
) -> None:
    model = random_model(**shape)
    folder = write_hf(model, chat_vocabulary, tmp_path / "hf")
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokens = torch.randint(0, 263, (3, 48), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = theirs(tokens).logits
    ours = model(tokens)
    assert logits.shape == ours.shape == (3, 48, model.config.known_vocab_size)
    assert (logits - ours).abs().max().item() < 1e-4
    assert ours.abs().max() > 1  # the comparison is of something


def test_padding_rows_and_a_tied_head_are_left_out(
    random_model: Callable[..., Transformer], chat_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    model = random_model(tie_word_embeddings=True)
    assert model.embed.weight.shape == (320, 32)
    with safe_open(write_hf(model, chat_vocabulary, tmp_path / "hf") / "model.safetensors", "pt") as tensors:
        assert tensors.metadata() == {"format": "pt"}
        assert tensors.get_slice("model.embed_tokens.weight").get_shape() == [263, 32]
        assert "lm_head.weight" not in tensors.keys()  # noqa: SIM118


def test_shards_and_their_index(
    random_model: Callable[..., Transformer], chat_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    model = random_model()
    folder = write_hf(model, chat_vocabulary, tmp_path / "hf", shard_bytes=40_000)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in folder.glob("*.safetensors"))
    assert files == [f"model-0000{number}-of-00005.safetensors" for number in range(1, 6)]
    assert sorted(set(index["weight_map"].values())) == files
    numbers = sum(value.numel() for name, value in model.state_dict().items() if name != "embed.weight") + 263 * 32
    assert index["metadata"]["total_size"] == 4 * numbers
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        assert torch.allclose(theirs(torch.tensor([[1, 2, 3]])).logits, model(torch.tensor([[1, 2, 3]])), atol=1e-4)


def test_bfloat16_is_half_the_bytes(
    random_model: Callable[..., Transformer], chat_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = write_hf(random_model(), chat_vocabulary, tmp_path / "hf", dtype="bfloat16")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert theirs.dtype == torch.bfloat16


def test_the_chat_tokenizer_travels_along(
    random_model: Callable[..., Transformer], chat_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = write_hf(random_model(), chat_vocabulary, tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (256, 261, 262)
    raw = [{"role": "user", "content": "Hi"}]
    ids = tokenizer.apply_chat_template(raw, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids == chat_vocabulary.format().prompt([Message("user", "Hi")])
    generation = transformers.GenerationConfig.from_pretrained(folder)
    assert (generation.eos_token_id, generation.pad_token_id) == ([261, 256], 262)
    assert json.loads((folder / "tokenizer_config.json").read_text())["chat_template"] == tokenizer.chat_template


def test_a_base_model_ends_with_the_text_and_has_no_chat_template(
    random_model: Callable[..., Transformer], byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    vocabulary = Vocabulary(tokenizer=byte_tokenizer, end_of_text_id=256)
    folder = write_hf(random_model(vocab_size=257), vocabulary, tmp_path / "hf")
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == 256
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == 256
    assert not (folder / "chat_template.jinja").exists()
    assert transformers.AutoTokenizer.from_pretrained(folder).encode("Hi") == [72, 105]


def test_the_certificate_is_small_for_a_right_export_and_stops_a_wrong_one(
    random_model: Callable[..., Transformer], chat_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    model = random_model()
    folder = write_hf(model, chat_vocabulary, tmp_path / "hf")
    worst = certify(model, chat_vocabulary, folder, "float32")
    assert worst is not None and worst < 1e-4
    certificate = json.loads((folder / "parity.json").read_text())
    assert certificate["largest_difference"] == worst
    assert certificate["prompts"][0] == [256, *b"The"]
    with torch.no_grad():
        model.blocks[0].attention.q.weight.mul_(1.5)
    with pytest.raises(IntegrityError, match="differ from ours by"):
        certify(model, chat_vocabulary, folder, "float32")


def test_a_folder_with_something_in_it_is_left_alone(
    random_model: Callable[..., Transformer], chat_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not empty"):
        write_hf(random_model(), chat_vocabulary, tmp_path / "hf")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_a_shape_without_a_twin_is_refused(
    random_model: Callable[..., Transformer], chat_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no twin in transformers"):
        write_hf(random_model(type="gpt2", head_dim=16), chat_vocabulary, tmp_path / "hf")
    assert list(tmp_path.iterdir()) == []


def test_export_of_a_checkpoint(
    random_model: Callable[..., Transformer], save_parent: Callable[[Transformer], Path], tmp_path: Path
) -> None:
    run = save_parent(random_model(vocab_size=257))
    said = run_export(run, tmp_path / "hf")
    assert "step-00000003 -> " in said and "log probabilities within" in said
    assert json.loads((tmp_path / "hf" / "parity.json").read_text())["largest_difference"] < 1e-4
    with pytest.raises(ConfigError, match="unknown type 'float8'"):
        run_export(run, tmp_path / "other", "float8")
