"""A conversation in blocks, as messages that every chat template takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localllm.errors import BadRequest
from localllm.gateway.translate.anthropic_content import chat_messages
from localllm.gateway.translate.anthropic_wire import Turn

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
LINKED = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
LINKED_PART = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def use(id_: str = "toolu_1", **input_: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": "f", "input": input_}


def result(*blocks: Any, id_: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": list(blocks), **more}


def document(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, **more}


def messages(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    said = chat_messages(None, [Turn(role, content) for role, content in turns])  # type: ignore[arg-type]
    return json.loads(json.dumps(said))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("blocks", "content"),
    [
        ("hi", "hi"),
        ("", ""),
        ([], ""),
        ([text("a"), text(""), text("b")], "a\nb"),
        ([text("see"), PNG], [text("see"), PNG_PART]),
        ([LINKED], [LINKED_PART]),
        ([document({"type": "text", "media_type": "text/plain", "data": "all of it"})], "all of it"),
        (
            [document({"type": "text", "data": "all"}, title="A title", context="from a friend")],
            "A title\nfrom a friend\nall",
        ),
        ([document({"type": "content", "content": "all"})], "all"),
        ([document({"type": "content", "content": [text("a"), PNG]})], [text("a"), PNG_PART]),
        (
            [{"type": "search_result", "source": "a.md", "title": "A", "content": [text("b")]}],
            "A (a.md)\nb",
        ),
        ([{"type": "mid_conv_system", "content": [text("Be kind.")]}, text("a")],
         "<system-reminder>\nBe kind.\n</system-reminder>\na"),
    ],
)  # fmt: skip
def test_what_a_user_shows_is_text_or_parts(blocks: Any, content: Any) -> None:
    assert messages(("user", blocks)) == [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ("hi", {"content": "hi"}),
        ([text("a"), text("b")], {"content": "ab"}),
        (
            [{"type": "thinking", "thinking": "hm", "signature": "anything"}, text("a")],
            {"content": "a", "reasoning_content": "hm"},
        ),
        ([{"type": "thinking", "thinking": ""}, text("a")], {"content": "a"}),
        (
            [{"type": "thinking", "thinking": said} for said in ("", "h", "m")],
            {"content": "", "reasoning_content": "h\nm"},
        ),
        ([{"type": "redacted_thinking", "data": "x"}, text("a")], {"content": "a"}),
        (
            [text("a"), use(x=[1], y="ö")],
            {
                "content": "a",
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"x":[1],"y":"ö"}'},
                    }
                ],
            },
        ),
        (
            [
                {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "x", "content": []},
                {"type": "compaction", "content": "So far: nothing."},
            ],
            {"content": "So far: nothing."},
        ),
    ],
)
def test_what_the_model_said_is_one_message(blocks: Any, message: dict[str, Any]) -> None:
    expected = {"role": "assistant", **message}

    assert messages(("user", "hi"), ("assistant", blocks))[1:] == [expected]


@pytest.mark.parametrize(
    ("blocks", "content"),
    [
        (None, ""),
        ("done", "done"),
        ([], ""),
        ([text("a"), text("b")], "a\nb"),
        ([{"type": "tool_reference", "tool_name": "g"}], "The tool g can be used now."),
        ([document({"type": "text", "data": "all"})], "all"),
        (
            [{"type": "search_result", "source": "a.md", "title": "A", "content": [text("b")]}],
            "A (a.md)\nb",
        ),
    ],
)
def test_a_tools_result_is_text(blocks: Any, content: str) -> None:
    turn = {"type": "tool_result", "tool_use_id": "toolu_1", "content": blocks}

    assert messages(("user", [turn])) == [
        {"role": "tool", "tool_call_id": "1", "content": content}
    ]  # fmt: skip


def test_a_result_may_lack_its_content() -> None:
    turn = {"type": "tool_result", "tool_use_id": "toolu_1"}

    assert messages(("user", [turn]))[0]["content"] == ""


def test_that_a_tool_failed_is_said() -> None:
    said = messages(("user", [result(text("no such file"), is_error=True)]))

    assert said[0]["content"] == "The tool failed:\nno such file"
    assert messages(("user", [result(text("ok"), is_error=False)]))[0]["content"] == "ok"


def test_results_come_before_what_else_the_user_says() -> None:
    said = messages(
        ("user", "hi"),
        ("assistant", [use("toolu_1"), use("toolu_2")]),
        ("user", [text("go on"), result(text("b"), id_="toolu_2"), result(text("a"))]),
    )

    assert [(m["role"], m.get("tool_call_id"), m["content"]) for m in said[2:]] == [
        ("tool", "2", "b"),
        ("tool", "1", "a"),
        ("user", None, "go on"),
    ]


def test_a_results_image_is_shown_by_the_user() -> None:
    said = messages(("user", [result(text("shot"), PNG), text("see?")]))

    assert said == [
        {"role": "tool", "tool_call_id": "1", "content": "shot\n[image: in the next message]"},
        {"role": "user", "content": [PNG_PART, text("see?")]},
    ]


def test_turns_of_one_side_are_one_and_system_text_in_between_is_the_users() -> None:
    said = messages(
        ("system", "Be brief."),
        ("user", "a"),
        ("system", [text("Be kind.")]),
        ("user", "b"),
        ("assistant", [use()]),
        ("system", "Hurry."),
        ("user", [result(text("c"))]),
        ("assistant", "d"),
        ("assistant", "e"),
    )

    assert [(m["role"], m["content"]) for m in said] == [
        ("system", "Be brief."),
        ("user", "a\n<system-reminder>\nBe kind.\n</system-reminder>\nb"),
        ("assistant", ""),
        ("tool", "c"),
        ("user", "<system-reminder>\nHurry.\n</system-reminder>"),
        ("assistant", "de"),
    ]


@pytest.mark.parametrize(
    ("turns", "content"),
    [
        ([], "a\n<system-reminder>\nHurry.\n</system-reminder>"),
        ([Turn("user", "b")], "a\nb"),
    ],
)
def test_a_system_message_may_be_for_one_turn_alone(turns: list[Turn], content: str) -> None:
    hurry = Turn("system", "Hurry.", clear_at="next_user_message")
    said = chat_messages(None, [Turn("user", "a"), hurry, *turns])

    assert said == [{"role": "user", "content": content}]


@pytest.mark.parametrize("content", [None, [], [{"type": "tool_addition", "tool": {}}]])
def test_a_system_message_may_say_nothing(content: Any) -> None:
    assert messages(("user", "a"), ("system", content)) == [{"role": "user", "content": "a"}]


PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
STORED = {"type": "file", "file_id": "file_1"}


@pytest.mark.parametrize(
    ("role", "block", "param"),
    [
        ("user", document(PDF), ".source"),
        ("user", document({"type": "url", "url": "https://a.example/b.pdf"}), ".source"),
        ("user", document(STORED), ".source.file_id"),
        ("user", {"type": "image", "source": STORED}, ".source.file_id"),
        ("user", result(document(PDF)), ".content[0].source"),
        ("user", result(use()), ".content[0].type"),
        ("user", use(), ".type"),
        ("user", {"type": "thinking", "thinking": "hm"}, ".type"),
        ("user", {"type": "container_upload", "file_id": "x"}, ".type"),
        ("assistant", PNG, ".type"),
        ("assistant", result(), ".type"),
        ("assistant", {"type": "tool_use", "id": "x", "input": {}}, ".name"),
    ],
)
def test_a_block_that_cannot_be_read_is_named(role: str, block: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        messages(("user", "hi"), (role, [text("see"), block]))

    assert caught.value.param == f"messages[1].content[1]{param}"
