"""What the real agents sent, as `scripts/try_agents --record` wrote it down, becomes chats that engines get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localllm.gateway.requests.bounds import Limits
from localllm.gateway.requests.chat import check_chat_document
from localllm.gateway.translate.anthropic_request import messages_request
from localllm.gateway.translate.responses_request import responses_request
from localllm.gateway.translate.responses_store import ResponseStore

FOLDER = Path(__file__).parents[3] / "data" / "agents"
RECORDINGS = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
LIMITS = Limits(slots=2, context=65_536)
OPENING = ["system", "user"]
TWO_CALLS = ["assistant", "tool", "assistant", "tool"]
NOT_LOCAL = {"web_search"}
"""Types of tools that only a hosted model has."""

BILLING = {
    "type": "text",
    "text": "x-anthropic-billing-header: cc_version=2.1.330.64a; cc_entrypoint=sdk-cli;",
}
"""What Claude Code's first block is unless CLAUDE_CODE_ATTRIBUTION_HEADER is 0, recorded, too."""

each_agent = pytest.mark.parametrize("agent", RECORDINGS)


def sent(agent: str, *, later: bool = False) -> dict[str, Any]:
    """The first request; or the last, which has what came of two calls."""
    recording = RECORDINGS[agent]
    return {**recording["first"], **(recording["then"] if later else {})}


def chat_of(agent: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the engine is sent."""
    data = json.dumps(body).encode()
    match RECORDINGS[agent]["target"].partition("?")[0]:
        case "/v1/messages":
            chat = messages_request(data, lambda prefix: f"{prefix}1").chat
        case "/v1/responses":
            earlier = ResponseStore().of("someone")
            chat = responses_request(
                data, earlier=earlier, new_id=lambda prefix: f"{prefix}1", now=lambda: 0.0
            ).chat
        case "/v1/chat/completions":
            chat = body
        case target:
            raise AssertionError(target)
    return json.loads(json.dumps(chat))  # type: ignore[no-any-return]


def names_of(tools: list[dict[str, Any]]) -> list[str]:
    """Of a request in any of the three APIs, what a local model is to see."""
    names: list[str] = []
    for tool in tools:
        if tool.get("type") == "namespace":
            names += [f"{tool['name']}__{inner['name']}" for inner in tool["tools"]]
        elif tool.get("type") not in NOT_LOCAL and not tool.get("defer_loading"):
            names.append(tool.get("function", tool)["name"])
    return names


def texts_of(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [part["text"] for part in content]


def test_there_is_a_recording_of_every_agent_that_is_tried() -> None:
    assert {*RECORDINGS} == {"claude-code", "codex", "copilot", "opencode", "pi", "qwen-code"}


@each_agent
@pytest.mark.parametrize("later", [False, True])
def test_what_an_agent_sends_may_reach_an_engine_with_all_of_its_tools(
    agent: str, later: bool
) -> None:
    body = sent(agent, later=later)

    chat = chat_of(agent, body)

    head = check_chat_document(chat, LIMITS)
    assert (chat["model"], head.stream) == (body["model"], True)
    assert chat["stream_options"] == {"include_usage": True}
    assert [tool["function"]["name"] for tool in chat["tools"]] == names_of(body["tools"])


@each_agent
def test_a_conversation_begins_with_one_system_message_and_what_the_user_wants(agent: str) -> None:
    chat = chat_of(agent, sent(agent))

    assert [message["role"] for message in chat["messages"]] == OPENING
    (*_, asked) = texts_of(chat["messages"][1]["content"])
    assert "Read the file /home/user/work/heron.txt" in asked


@each_agent
def test_each_call_is_followed_by_its_result(agent: str) -> None:
    chat = chat_of(agent, sent(agent, later=True))

    assert [message["role"] for message in chat["messages"]] == [*OPENING, *TWO_CALLS]
    read, result, written, _ = chat["messages"][2:]
    assert "heron-" in "".join(texts_of(result["content"]))
    assert "HERON-" in written["tool_calls"][0]["function"]["arguments"]
    for call, answer in (chat["messages"][2:4], chat["messages"][4:]):
        assert call["tool_calls"][0]["id"] == answer["tool_call_id"]
        assert call["reasoning_content"].startswith("The user wants")
    assert read["content"] == "I read it."


@each_agent
def test_what_was_sent_before_is_the_beginning_of_what_is_sent_next(agent: str) -> None:
    """Else no engine would find it in its cache."""
    first, later = (chat_of(agent, sent(agent, later=later)) for later in (False, True))

    assert later["messages"][: len(OPENING)] == first["messages"]
    assert later["tools"] == first["tools"]


@pytest.mark.parametrize("agent", ["claude-code", "codex"])
def test_all_instructions_are_in_the_system_message(agent: str) -> None:
    body = sent(agent)
    given = body.get("system") or [
        part for item in body["input"] if item["role"] == "developer" for part in item["content"]
    ]

    (system, *_) = chat_of(agent, body)["messages"]

    assert len(given) >= 2
    assert all(text in system["content"] for text in texts_of(given))


def test_the_line_that_changes_with_every_session_of_claude_code_is_gone() -> None:
    body = sent("claude-code")
    billed = {**body, "system": [BILLING, *body["system"]]}

    assert chat_of("claude-code", billed) == chat_of("claude-code", body)
