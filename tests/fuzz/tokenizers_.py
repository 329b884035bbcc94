"""tokenizer.json of any bytes: refused, or a tokenizer whose ids lie within the vocabulary it states."""

import functools
import json
from pathlib import Path
from typing import Any

import seeds
from case import Case, Target, promise, refused
from mutate import as_json, mangle, mangle_text, mangle_tree

from pipeline.contract.errors import TokenmillError
from pipeline.tokens.tokenizer import load_tokenizer
from training.chat.format import ChatFormat, Message, add_chat_tokens, check_tokenizer
from training.data.tokenizer import byte_lengths, parse_tokenizer

_PARTS = ("added_tokens", "pre_tokenizer", "normalizer", "post_processor", "decoder", "truncation", "padding", "model")


@functools.cache
def _trees() -> tuple[Any, ...]:
    """A small byte-level BPE, a word-level and a Unigram model."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False
    )
    bpe.train_from_iterator(seeds.texts()[:4], trainer)
    words = Tokenizer(models.WordLevel({"the": 0, "[UNK]": 1, "</s>": 2, "river": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens([AddedToken("</s>", special=True)])
    pieces = [
        ("<unk>", 0.0),
        ("</s>", 0.0),
        *((chr(c), -3.0) for c in range(97, 123)),
        ("\u2581the", -1.0),
        ("\u2581", -2.0),
    ]
    unigram = Tokenizer(models.Unigram(pieces, 0, False))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.normalizer = normalizers.NFKC()
    return tuple(json.loads(one.to_str()) for one in (bpe, words, unigram))


def _tokenizer(case: Case) -> str:
    draw = case.draw
    tree = draw.choice(_trees())
    data = as_json(draw, mangle_tree(draw, tree) if draw.random() < 0.3 else _in_part(case, tree))
    path = case.file("tokenizer.json", mangle(draw, data) if draw.random() < 0.1 else data)
    text = mangle_text(draw, draw.choice(seeds.texts()))[:3000] + draw.choice(("", "<|endoftext|>", "</s>", "<unk>"))
    said = []
    for use in (_load, _chat):
        try:
            use(path, text)
            said.append("works")
        except TokenmillError as error:
            said.append(refused(error))
    return ", ".join(said)


def _in_part(case: Case, tree: Any) -> Any:
    """Parts taken from another tokenizer, ids moved, or one part changed, rather than one of the hundreds of keys."""
    draw, tree = case.draw, json.loads(json.dumps(tree))
    for name in draw.sample(_PARTS, draw.choice((0, 1, 2))):
        tree[name] = draw.choice(_trees())[name]
    vocabulary = tree["model"]["vocab"]
    if isinstance(vocabulary, dict) and draw.random() < 0.4:
        vocabulary[draw.choice(list(vocabulary))] = draw.choice((0, 7, 400, 70_000, 2**24, 2**31, 2**32 - 1))
    if tree["added_tokens"] and draw.random() < 0.3:
        tree["added_tokens"][0] |= {
            draw.choice(("id", "content", "normalized", "lstrip")): draw.choice((True, 5, 2**31, "a", " "))
        }
    if draw.random() < 0.4:
        name = draw.choice(_PARTS)
        tree[name] = mangle_tree(draw, tree[name])
    return tree


def _load(path: Path, text: str) -> None:
    tokenizer = load_tokenizer(path)
    for ids in tokenizer.encode([text, "", "a"]):
        promise(not len(ids) or int(ids.max()) < tokenizer.info.vocabulary_size, "an id is beyond the vocabulary")
        promise(tokenizer.info.end_of_text_id not in ids.tolist(), "a page wrote an end-of-text")
    tokenizer.decode([tokenizer.info.end_of_text_id])


def _chat(path: Path, text: str) -> None:
    tokenizer = add_chat_tokens(parse_tokenizer(path.read_bytes(), str(path)))
    format = ChatFormat.for_tokenizer(tokenizer, 0)
    check_tokenizer(tokenizer, format)
    byte_lengths(tokenizer, tokenizer.get_vocab_size())
    rendered = format.render([Message("user", text.encode("utf-8", "replace").decode()), Message("assistant", "Yes.")])
    promise(len(rendered.ids) == len(rendered.supervised), "ids and targets are not as many")


TARGETS = (Target("tokenizers", _tokenizer, _trees),)
