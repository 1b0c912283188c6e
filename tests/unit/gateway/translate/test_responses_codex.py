"""What Codex really sends, and what it gets back. `tests/data/agents` has the recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.translate.responses_oracle import observe
from tests.unit.gateway.translate.responses_talk import (
    USAGE,
    answered,
    call_delta,
    delta,
    translate,
)

RECORDED: Any = json.loads((Path(__file__).parents[3] / "data/agents/codex.json").read_text())
FIRST = RECORDED["first"]
THEN = FIRST | {"input": RECORDED["then"]["input"]}


def test_its_first_request_is_a_chat_with_one_system_message_and_one_of_the_users() -> None:
    translated = translate(**FIRST)
    chat: Any = translated.chat

    assert [message["role"] for message in chat["messages"]] == ["system", "user"]
    assert all(isinstance(message["content"], str) for message in chat["messages"])
    assert translated.is_stream
    assert chat.keys() - {"messages", "tools"} == {
        "model",
        "stream",
        "stream_options",
        "timings_per_token",
        "return_progress",
        "tool_choice",
        "parallel_tool_calls",
    }


def test_its_tools_are_functions_those_of_namespaces_too_and_web_search_is_none() -> None:
    chat: Any = translate(**FIRST).chat
    names = [tool["function"]["name"] for tool in chat["tools"]]

    assert "exec_command" in names
    assert "multi_agent_v1__close_agent" in names
    assert not any("web_search" in name for name in names)


def test_its_history_is_turns_with_their_thoughts_and_calls() -> None:
    chat: Any = translate(**THEN).chat

    assert [message["role"] for message in chat["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    turn, result = chat["messages"][2:4]
    assert turn.keys() == {"role", "content", "reasoning_content", "tool_calls"}
    assert turn["tool_calls"][0]["id"] == result["tool_call_id"]


def test_a_prompt_only_grows_so_that_its_head_stays_in_the_cache() -> None:
    first: Any = translate(**FIRST).chat
    then: Any = translate(**THEN).chat

    assert then["messages"][: len(first["messages"])] == first["messages"]
    assert then["tools"] == first["tools"]


@pytest.mark.parametrize("called", ["multi_agent_v1__close_agent", "close_agent"])
def test_a_call_of_a_namespace_is_named_as_codex_alone_understands_it(called: str) -> None:
    call = call_delta(0, '{"target": "a"}', called, "c1")

    item = observe(answered(translate(**FIRST), call, delta("tool_calls"), USAGE)).output[0]

    assert (item["namespace"], item["name"]) == ("multi_agent_v1", "close_agent")
