import hashlib

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from pipeline.contract.errors import InputError
from pipeline.contract.manifest import TokenizerInfo
from training.data.tokenizer import byte_lengths, parse_tokenizer, read_tokenizer


def info_of(content):
    sha256 = hashlib.sha256(content).hexdigest()
    return TokenizerInfo(name="t", sha256=sha256, vocabulary_size=3, end_of_text_id=0)


def test_the_tokenizer_beside_the_shards_is_the_default(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b"one")
    other = tmp_path / "other.json"
    other.write_bytes(b"two")
    assert read_tokenizer(None, tmp_path, info_of(b"one")) == b"one"
    assert read_tokenizer(str(other), tmp_path, info_of(b"two")) == b"two"


def test_another_tokenizer_is_refused_and_both_are_named(tmp_path):
    tokens, other = tmp_path / "run" / "tokens", tmp_path / "gpt2" / "tokenizer.json"
    for file, content in ((tokens / "tokenizer.json", b"one"), (other, b"two")):
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_tokenizer(str(other), tokens, info_of(b"one"))
    [problem, hint] = str(error.value).split("\n  ")
    assert problem == (
        f"{other}: is 'gpt2' (SHA-256 3fc4ccfe7458...), and the shards in {tokens} were made with "
        "'t' (SHA-256 7692c3ad3540..., 3 ids)"
    )
    assert hint == f"leave data.tokenizer out: the shards' own is {tokens / 'tokenizer.json'}"
    (tokens / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"\n  set data.tokenizer to the tokenizer.json of 't'$"):
        read_tokenizer(str(other), tokens, info_of(b"one"))


def test_a_tokenizer_that_was_changed_beside_the_shards_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b"one")
    with pytest.raises(InputError, match=r"made with 't' .*\n  it was changed after the build: set data.tokenizer to"):
        read_tokenizer(None, tmp_path, info_of(b"two"))


def test_a_missing_tokenizer_says_what_to_set(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read: No such file(.|\n)*set data.tokenizer"):
        read_tokenizer(None, tmp_path, info_of(b"one"))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"version": "9"}'])
def test_what_is_no_tokenizer_is_refused(content):
    with pytest.raises(InputError, match=r"here: is not a tokenizer\.json"):
        parse_tokenizer(content, "here")


@pytest.mark.parametrize("text", ["plain", " spaced  out\n", "naïve café", "日本語", "🙂 mixed ñ"])
def test_byte_lengths_add_up_to_the_text(byte_tokenizer, shared_data, text):
    gpt2 = parse_tokenizer((shared_data / "tokenizer" / "gpt2-tokenizer.json").read_bytes(), "gpt2")
    for tokenizer in (byte_tokenizer, gpt2):
        lengths = byte_lengths(tokenizer, tokenizer.get_vocab_size())
        assert lengths[tokenizer.encode(text).ids].sum() == len(text.encode())


def test_special_tokens_and_unused_ids_have_no_bytes(byte_tokenizer):
    byte_tokenizer.add_tokens([AddedToken("été", special=False, normalized=False)])
    lengths = byte_lengths(byte_tokenizer, 300)
    assert lengths[:256].tolist() == [1] * 256
    assert lengths[256:259].tolist() == [0, 5, 0]


def test_sentencepiece_pieces_are_measured_in_bytes():
    pieces = {"<unk>": 0, "\u2581the": 1, "é": 2, "<0x0A>": 3, "\u2581": 4}
    tokenizer = Tokenizer(models.BPE(pieces, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>"])
    assert byte_lengths(tokenizer, 5).tolist() == [0, 4, 2, 1, 1]


def test_a_tokenizer_that_loses_spaces_has_no_byte_lengths():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert byte_lengths(tokenizer, 2) is None
