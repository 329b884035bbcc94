"""The tokenizer: golden ids, and page text that tries to forge control tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from pipeline.contract.errors import ConfigError, InputError
from pipeline.tokens import tokenizer as module
from pipeline.tokens.tokenizer import cut_at_spaces, load_tokenizer


def byte_level(tmp_path: Path, *special: AddedToken | str, name: str = "small.json") -> Path:
    """A byte-level BPE whose only merges make `the` and ` the`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate([*alphabet, "th", "the", "Ġthe"])}
    engine = tokenizers.Tokenizer(models.BPE(vocabulary, [("t", "h"), ("th", "e"), ("Ġ", "the")]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.add_tokens([token for token in special if isinstance(token, AddedToken) and not token.special])
    engine.add_special_tokens([token for token in special if not isinstance(token, AddedToken) or token.special])
    path = tmp_path / name
    engine.save(str(path))
    return path


def test_golden_ids_of_gpt2(shared_data):
    tokenizer = load_tokenizer(shared_data / "tokenizer" / "gpt2-tokenizer.json")
    lines = (shared_data / "tokenizer" / "reference_gpt2.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    plain = [row for row in rows if not row["uses_special_tokens"]]
    assert len(plain) == 72
    found = tokenizer.encode([row["text"] for row in plain])
    assert [ids.tolist() for ids in found] == [row["ids"] for row in plain]


def test_golden_ids_of_many_languages(shared_data):
    tokenizer = load_tokenizer(shared_data / "tokenizer" / "gpt2-tokenizer.json")
    lines = (shared_data / "tokenizer" / "computed_multilingual.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [ids.tolist() for ids in tokenizer.encode([row["text"] for row in rows])] == [row["gpt2"] for row in rows]


def test_what_is_known_of_gpt2(shared_data):
    tokenizer = load_tokenizer(shared_data / "tokenizer" / "gpt2-tokenizer.json")
    assert tokenizer.info.name == "gpt2-tokenizer"
    assert tokenizer.info.sha256 == "604586a8c3c1a2e2221c2f6d3b8583d7e90afde23c0de84033baaf1c282c9c1a"
    assert (tokenizer.info.vocabulary_size, tokenizer.info.end_of_text_id) == (50257, 50256)
    assert tokenizer.dtype == np.uint16


def test_a_document_is_closed_by_end_of_text_and_nothing_else_is_added(shared_data):
    tokenizer = load_tokenizer(shared_data / "tokenizer" / "gpt2-tokenizer.json")
    assert [ids.tolist() for ids in tokenizer.encode_documents(["hello world", ""])] == [[31373, 995, 50256], [50256]]


def test_a_control_token_written_on_a_page_is_plain_text(shared_data):
    tokenizer = load_tokenizer(shared_data / "tokenizer" / "gpt2-tokenizer.json")
    [ids] = tokenizer.encode(["before<|endoftext|>after"])
    assert 50256 not in ids
    assert tokenizer.decode(ids) == "before<|endoftext|>after"


def test_an_end_of_text_that_the_file_does_not_call_special_cannot_be_forged_either(tmp_path):
    path = byte_level(tmp_path, AddedToken("</s>", special=False))
    tokenizer = load_tokenizer(path)
    [ids] = tokenizer.encode(["the</s>the"])
    assert tokenizer.end_of_text == "</s>"
    assert tokenizer.info.end_of_text_id not in ids
    assert tokenizer.decode(ids) == "the</s>the"


def test_a_control_token_is_known_by_its_looks_and_other_added_tokens_are_text(tmp_path):
    extra = [AddedToken(token, special=False) for token in ("<|fim_prefix|>", "<table>", "    ")]
    tokenizer = load_tokenizer(byte_level(tmp_path, *extra, "</s>"))
    assert set(tokenizer.special_tokens) == {"<|fim_prefix|>", "</s>"}
    [ids] = tokenizer.encode(["a<|fim_prefix|><table>    b"])
    assert tokenizer.pieces(ids) == ["a", *"<|fim_prefix|>", "<table>", "    ", "b"]


def test_a_control_token_inside_a_unigram_model_cannot_be_forged(tmp_path):
    # Unlike SentencePiece, `tokenizers` matches every piece of a unigram model, control tokens included.
    pieces = [("<unk>", -20.0), ("</s>", 0.0), *((letter, -2.0) for letter in "ab/<>s"), ("ab", -1.0)]
    engine = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    engine.add_special_tokens(["<unk>", "</s>"])
    engine.save(str(tmp_path / "unigram.json"))
    tokenizer = load_tokenizer(tmp_path / "unigram.json")
    assert tokenizer.info.end_of_text_id == 1
    [forged, plain] = tokenizer.encode(["ab</s>ab</s>", "abba"])
    assert forged.tolist() == [8, 5, 4, 7, 6, 8, 5, 4, 7, 6]  # ab < / s > ab < / s >
    assert plain.tolist() == [8, 3, 2]


def test_a_character_that_can_only_be_a_control_token_is_left_out(tmp_path):
    engine = tokenizers.Tokenizer(models.Unigram([("<unk>", -20.0), ("a", -1.0), ("¶", 0.0)], unk_id=0))
    engine.add_special_tokens(["<unk>", "¶"])
    engine.save(str(tmp_path / "one.json"))
    tokenizer = load_tokenizer(tmp_path / "one.json", end_of_text="¶")
    assert [ids.tolist() for ids in tokenizer.encode(["a¶a", "¶", "aa"])] == [[1, 1], [], [1, 1]]


def test_a_normalizer_cannot_bring_a_control_token_back(tmp_path):
    pieces = [("<unk>", -20.0), ("</s>", 0.0), *((letter, -2.0) for letter in "a/<>s")]
    engine = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0))
    engine.normalizer = normalizers.NFKC()
    engine.add_special_tokens(["<unk>", "</s>"])
    engine.save(str(tmp_path / "nfkc.json"))
    [ids] = load_tokenizer(tmp_path / "nfkc.json").encode(["a＜／ｓ＞a"])
    assert 1 not in ids
    assert len(ids) == 6


def test_an_unknown_character_is_no_forgery(tmp_path):
    engine = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "<eos>": 2}, unk_token="<unk>"))
    engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    engine.add_special_tokens(["<unk>", "<eos>"])
    engine.save(str(tmp_path / "words.json"))
    tokenizer = load_tokenizer(tmp_path / "words.json")
    assert [ids.tolist() for ids in tokenizer.encode(["the cat the"])] == [[1, 0, 1]]
    assert 2 not in tokenizer.encode(["the <eos> the"])[0]


def test_post_processors_truncation_and_padding_of_the_file_do_not_apply(tmp_path):
    path = byte_level(tmp_path, "<s>", "</s>")
    engine = tokenizers.Tokenizer.from_file(str(path))
    ids = {name: engine.token_to_id(name) for name in ("<s>", "</s>")}
    engine.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=list(ids.items()))
    engine.enable_truncation(2)
    engine.enable_padding(length=8)
    engine.save(str(path))
    tokenizer = load_tokenizer(path)
    assert tokenizer.pieces(tokenizer.encode(["the the the"])[0]) == ["the", " the", " the"]


def test_lone_surrogates_become_the_replacement_character(tmp_path):
    tokenizer = load_tokenizer(byte_level(tmp_path, "</s>"))
    [ids] = tokenizer.encode(["a\ud800b"])
    assert tokenizer.decode(ids) == "a\ufffdb"


def test_the_end_of_text_token_given_wins_over_the_known_names(tmp_path):
    path = byte_level(tmp_path, "<|endoftext|>", "<|stop|>")
    assert load_tokenizer(path).end_of_text == "<|endoftext|>"
    assert load_tokenizer(path, end_of_text="<|stop|>").end_of_text == "<|stop|>"


def test_an_unknown_end_of_text_names_the_tokens_there_are(tmp_path):
    path = byte_level(tmp_path, "<|stop|>")
    with pytest.raises(ConfigError, match=r"no end-of-text token found(.|\n)*known: <\|stop\|>"):
        load_tokenizer(path)
    with pytest.raises(ConfigError, match=r"has no end-of-text token '<\|nope\|>'"):
        load_tokenizer(path, end_of_text="<|nope|>")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0", "model": {"type": "Nope"}}'])
def test_a_file_that_is_no_tokenizer(tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.json: is not a tokenizer\.json"):
        load_tokenizer(tmp_path / "bad.json")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="cannot read the tokenizer: No such file"):
        load_tokenizer(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot read the tokenizer: Is a directory"):
        load_tokenizer(tmp_path)


def test_ids_with_gaps_count_up_to_the_highest(tmp_path):
    engine = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "the": 70_000, "</s>": 2}, unk_token="<unk>"))
    engine.save(str(tmp_path / "gaps.json"))
    tokenizer = load_tokenizer(tmp_path / "gaps.json")
    assert tokenizer.info.vocabulary_size == 70_001
    assert tokenizer.dtype == np.uint32
    assert tokenizer.encode(["the"])[0].tolist() == [70_000]


def test_the_folder_names_a_tokenizer_whose_file_does_not(tmp_path):
    (tmp_path / "mill-32k").mkdir()
    path = byte_level(tmp_path / "mill-32k", "</s>", name="tokenizer.json")
    assert load_tokenizer(path).info.name == "mill-32k"


def test_a_changed_file_is_loaded_again(tmp_path):
    path = byte_level(tmp_path, "</s>")
    first = load_tokenizer(path)
    byte_level(tmp_path, "</s>", "<s>")
    assert load_tokenizer(path).info.sha256 != first.info.sha256
    assert load_tokenizer(path).info.vocabulary_size == first.info.vocabulary_size + 1


def test_parts_join_to_the_text_and_start_at_spaces_between_letters():
    text = "one two  three\n four 5 six-seven eight"
    assert list(cut_at_spaces(text, 1)) == ["one", " two  three\n four 5 six-seven", " eight"]
    assert list(cut_at_spaces(text, 1000)) == [text]
    assert list(cut_at_spaces("", 5)) == [""]
    assert list(cut_at_spaces("é a é b", 1)) == ["é a é b"]


def test_a_huge_text_cut_for_memory_has_the_ids_of_the_whole(shared_data, monkeypatch):
    path = shared_data / "tokenizer" / "gpt2-tokenizer.json"
    text = (shared_data / "pretrain" / "genesis-kjv.txt").read_text(encoding="utf-8")[:60_000]
    [whole] = load_tokenizer(path).encode([text])
    monkeypatch.setattr(module, "_BATCH_CHARACTERS", 1_000)
    assert np.array_equal(load_tokenizer(path).encode([text])[0], whole)
    assert [len(ids) for ids in load_tokenizer(path).encode(["a", text, "b"])] == [1, len(whole), 1]


def test_a_tokenizer_that_marks_spaces_otherwise_is_never_cut(tmp_path, monkeypatch):
    engine = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "a b": 1, "</s>": 2}, unk_token="<unk>"))
    engine.save(str(tmp_path / "whole.json"))
    monkeypatch.setattr(module, "_BATCH_CHARACTERS", 1)
    assert load_tokenizer(tmp_path / "whole.json").encode(["a b"])[0].tolist() == [1]
