"""The adapter finds what the harness's HFLM finds for the exported model."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from training.chat.format import add_chat_tokens
from training.chat.vocabulary import Vocabulary
from training.model.transformer import Transformer
from training.tools.export import write_hf

Build = Callable[..., Transformer]


@pytest.fixture
def vocabulary(byte_tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer=byte_tokenizer, end_of_text_id=256)


def instances(kind: str, arguments: list[tuple[object, ...]]) -> list[object]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, argument, number) for number, argument in enumerate(arguments)]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_adapter_finds_what_the_harness_finds_for_the_exported_model(
    random_model: Build, byte_tokenizer: Tokenizer, tmp_path: Path, kind: str
) -> None:
    huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="needs accelerate", exc_type=ImportError)
    from training.evaluation.lm_adapter import TokenmillLM

    vocabulary = Vocabulary(tokenizer=add_chat_tokens(byte_tokenizer), end_of_text_id=256)
    model = random_model(type=kind, num_kv_heads=2, tie_word_embeddings=False)
    folder = write_hf(model, vocabulary, tmp_path / "hf")
    theirs = huggingface.HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=3)
    ours = TokenmillLM(model, vocabulary)
    pairs = [("Question: why?\nAnswer:", " no"), ("Question: why?\nAnswer:", " yes, indeed"), ("", " hello"),
             ("a space at the end ", "word"), ("long " * 30, "and more"), ("é漢", "字"), ("x", "y" * 40),
             ("", "<|endoftext|>a"), ("<|user|>Hi<|end_turn|><|assistant|>", "Hello<|end_turn|>")]  # fmt: skip
    found = ours.loglikelihood(instances("loglikelihood", pairs))
    wanted = theirs.loglikelihood(instances("loglikelihood", pairs), disable_tqdm=True)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in wanted]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in wanted], abs=1e-3)
    texts: list[tuple[object, ...]] = [("some words",), ("many words " * 20,), ("a" * 48,), ("a" * 49,)]
    rolling = ours.loglikelihood_rolling(instances("loglikelihood_rolling", texts))
    wanted_rolling = theirs.loglikelihood_rolling(instances("loglikelihood_rolling", texts), disable_tqdm=True)
    assert rolling == pytest.approx(wanted_rolling, rel=1e-5)
    asked = {"until": ["q"], "max_gen_toks": 12, "do_sample": False}
    prompts: list[tuple[object, ...]] = [(text, dict(asked)) for text in ("Hello", "a b c " * 20, "x")]
    written = ours.generate_until(instances("generate_until", prompts))
    assert written == theirs.generate_until(instances("generate_until", prompts), disable_tqdm=True)


def test_bos_goes_before_each_context_once(random_model: Build, vocabulary: Vocabulary) -> None:
    pytest.importorskip("lm_eval")
    from training.evaluation.lm_adapter import AdapterOptions, TokenmillLM

    model = random_model(vocab_size=257)
    adapter = TokenmillLM(model, vocabulary, AdapterOptions(bos=True))
    plain = TokenmillLM(model, vocabulary)
    pairs: list[tuple[object, ...]] = [("ab", "c"), ("<|endoftext|>ab", "c")]
    [with_bos, already] = adapter.loglikelihood(instances("loglikelihood", pairs))
    assert with_bos == already == plain.loglikelihood(instances("loglikelihood", pairs[1:]))[0]
    assert with_bos != plain.loglikelihood(instances("loglikelihood", pairs[:1]))[0]
