"""Reading conversations: every fault has a name and a place."""

import json
from pathlib import Path

import pytest

from pipeline.contract.errors import InputError
from training.chat.conversations import Conversation, Fault, load_conversations, parse, parse_messages
from training.chat.format import Message

GOOD = {"id": "a", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def line(*messages: object, **fields: object) -> bytes:
    return json.dumps({"messages": list(messages), **fields}).encode()


def test_a_good_line() -> None:
    found = parse(json.dumps(GOOD).encode(), "f:1")
    assert found == Conversation("a", (Message("user", "Hi"), Message("assistant", "Hello")), "f:1")


def test_weight_and_null_keys() -> None:
    found = parse(line({"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0,
                                                          "tool_calls": None}), "f:1")  # fmt: skip
    assert isinstance(found, Conversation)
    assert found.messages == (Message("user", "a"), Message("assistant", "b", trained=False))


def test_an_id_is_made_from_the_messages_where_there_is_none() -> None:
    one = parse(line(*GOOD["messages"]), "f:1")
    two = parse(line(*GOOD["messages"], source="x"), "f:9")
    other = parse(line({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}), "f:1")
    assert isinstance(one, Conversation) and isinstance(two, Conversation) and isinstance(other, Conversation)
    assert one.id == two.id != other.id


USER, REPLY = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
FAULTS = [
    (b'{"messages": [', "not_json", "is not JSON"),
    (b"[" * 100_000, "not_json", "is not JSON"),
    (b'{"a": "\xff"}', "not_utf8", "byte 7"),
    (b'["a"]', "not_an_object", "found list"),
    (b'{"prompt": "a", "completion": "b"}', "no_messages", "the line has completion, prompt"),
    (b'{"messages": []}', "no_messages", "at least one message"),
    (line("hello"), "bad_message", "messages[0]: expected an object"),
    (line(USER), "no_assistant", "nothing to learn"),
    (line({"role": "human", "content": "a"}, REPLY), "unknown_role", 'messages[0]: unknown role "human"'),
    (line({"content": "a"}, REPLY), "unknown_role", "messages[0]: unknown role null"),
    (line(USER, {"role": "system", "content": "s"}, REPLY), "misplaced_system", "messages[1]"),
    (line(USER, {"role": "assistant", "content": None}), "bad_content", "messages[1]: content must be text"),
    (line(USER, {"role": "assistant", "content": " \n"}), "empty_content", "messages[1]: the content is empty"),
    (line({"role": "user", "content": ""}, REPLY), "empty_content", "messages[0]"),
    (line(USER, {**REPLY, "weight": 2}), "bad_weight", "messages[1]: weight must be 0 or 1"),
    (line(USER, {**REPLY, "tool_calls": [1]}), "unknown_key", "messages[1]: unknown key 'tool_calls'"),
    (line(USER, {"role": "assistant", "content": "\ud800"}), "not_unicode", "lone surrogate at character 0"),
]


@pytest.mark.parametrize(("raw", "cause", "problem"), FAULTS)
def test_each_fault_is_named_and_placed(raw: bytes, cause: str, problem: str) -> None:
    found = parse(raw, "data.jsonl:7")
    assert isinstance(found, Fault)
    assert (found.cause, found.place) == (cause, "data.jsonl:7")
    assert problem in str(found.error())


def test_a_bad_line_stops_a_strict_run_and_is_counted_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\n" + line(USER) + b"\nnonsense\n" + line(USER))
    with pytest.raises(InputError, match=r"data\.jsonl:3: no message of the assistant"):
        load_conversations([path], skip_bad=False)
    conversations, faults = load_conversations([path], skip_bad=True)
    assert [conversation.id for conversation in conversations] == ["a"]
    assert faults == {"no_assistant": 2, "not_json": 1}


def test_a_missing_or_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jsonl: cannot be read: No such file"):
        load_conversations([tmp_path / "gone.jsonl"], skip_bad=True)
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    with pytest.raises(InputError, match=r"holds no conversation \(no lines\)"):
        load_conversations([tmp_path / "empty.jsonl"], skip_bad=False)


def test_a_draw_depends_on_seed_and_id_alone() -> None:
    conversation = Conversation("a", (), "x:1")
    assert conversation.draw(1) == Conversation("a", (Message("user", "b"),), "y:2").draw(1)
    assert conversation.draw(1) != conversation.draw(2)
    assert conversation.draw(1) == pytest.approx(0.5, abs=0.5)
    share = sum(Conversation(str(number), (), "").draw(7) < 0.1 for number in range(5000)) / 5000
    assert share == pytest.approx(0.1, abs=0.02)


def test_messages_of_a_chat_need_no_reply() -> None:
    assert parse_messages([USER]) == (Message("user", "a"),)
    with pytest.raises(InputError, match=r"messages: messages\[0\]: unknown role"):
        parse_messages([{"role": "x", "content": "a"}])


def test_the_shared_conversations_are_all_good(shared_data: Path) -> None:
    conversations, faults = load_conversations([shared_data / "sft" / "train.jsonl"], skip_bad=False)
    assert (len(conversations), faults) == (2530, {})
