"""The page of learned tokens marks what is learned, and a conversation cannot put markup into it."""

import re

from tokenizers import Tokenizer

from training.chat.format import ChatFormat, Message, add_chat_tokens
from training.chat.packing import pack
from training.chat.preview import preview_page


def test_learned_tokens_are_marked_and_text_is_escaped(byte_tokenizer: Tokenizer) -> None:
    tokenizer = add_chat_tokens(byte_tokenizer)
    chat = ChatFormat.for_tokenizer(tokenizer, 256)
    first = [Message("user", "<script>alert(1)</script>"), Message("assistant", "No & <b>no</b>.")]
    second = [Message("user", "é"), Message("assistant", "漢", trained=False), Message("assistant", "字")]
    page = preview_page(pack(chat.render_all([first, second]), 80, chat.pad_id), tokenizer, "<t>", count=5)
    end = "<i>&lt;|end_turn|&gt;</i>"
    assert f"<b>No &amp; &lt;b&gt;no&lt;/b&gt;.</b><b>{end}</b></p>" in page
    turn = "<i>&lt;|end_turn|&gt;&lt;|assistant|&gt;</i>"
    assert f"é{turn}漢{turn}<b>字</b><b>{end}</b></p>" in page
    assert "<script" not in page
    assert "<title>&lt;t&gt;</title>" in page
    assert "row 0: 2 conversations" in page
    assert not re.search(r"(?:src|href)=", page)
