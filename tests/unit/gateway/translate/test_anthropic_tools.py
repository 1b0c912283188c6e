"""Tools and the choice among them, as every engine understands it."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.errors import BadRequest
from localllm.gateway.translate.anthropic_tools import (
    chat_tools,
    found_tools,
    id_for_client,
    id_for_engine,
)
from localllm.gateway.translate.anthropic_wire import ToolChoice

SCHEMA = {"type": "object", "properties": {}}


def own(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": SCHEMA, **more}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


SERVERS = [
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    {"type": "computer_20250124", "name": "computer", "display_width_px": 1},
    {"type": "mcp_toolset", "mcp_server_name": "x"},
]


@pytest.mark.parametrize(
    ("raw", "tools"),
    [
        ([own("f")], [function("f")]),
        ([own("f", type="custom", description="Does.", strict=True)],
         [function("f", description="Does.", strict=True)]),
        ([own("f", cache_control={"type": "ephemeral"}, defer_loading=False)], [function("f")]),
        ([own("f"), own("g", defer_loading=True)], [function("f")]),
        ([*SERVERS, own("f")], [function("f")]),
        ([own("f", type="a_new_kind_20270101")], [function("f")]),
    ],
)  # fmt: skip
def test_a_tool_is_a_function_and_those_of_servers_are_left_out(
    raw: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> None:
    assert chat_tools(raw, None) == {"tools": tools}


@pytest.mark.parametrize("choice", [None, ToolChoice("auto"), ToolChoice("any")])
@pytest.mark.parametrize("raw", [[], SERVERS])
def test_without_tools_there_is_nothing_to_choose(
    raw: list[Any], choice: ToolChoice | None
) -> None:
    assert chat_tools(raw, choice) == {}


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ToolChoice("auto"), {"tool_choice": "auto"}),
        (ToolChoice("any"), {"tool_choice": "required"}),
        (ToolChoice("none"), {"tool_choice": "none"}),
        (ToolChoice("auto", disable_parallel_tool_use=False), {"tool_choice": "auto"}),
        (
            ToolChoice("auto", disable_parallel_tool_use=True),
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
    ],
)
def test_the_choice_is_said_in_words(choice: ToolChoice, said: dict[str, Any]) -> None:
    tools = [function("f"), function("g")]

    assert chat_tools([own("f"), own("g")], choice) == {"tools": tools, **said}


def test_the_named_tool_is_the_only_one_and_has_to_be_called() -> None:
    said = chat_tools([own("f"), own("g")], ToolChoice("tool", "g"))

    assert said == {"tools": [function("g")], "tool_choice": "required"}


def test_a_tool_that_waits_is_shown_once_a_search_has_found_it_or_it_has_to_be_called() -> None:
    tools = [own("f"), own("g", defer_loading=True), own("h", defer_loading=True)]
    reference = {"type": "tool_reference", "tool_name": "g"}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [reference]}
    said = [{"role": "user", "content": "hi"}, {"role": "user", "content": [result]}]

    found = found_tools(said)

    assert found == {"g"}
    assert chat_tools(tools, None, found) == {"tools": [function("f"), function("g")]}
    chosen = chat_tools(tools, ToolChoice("tool", "h"))
    assert chosen["tools"] == [function("h")]


def test_a_tool_that_was_left_out_cannot_be_demanded() -> None:
    said = chat_tools([*SERVERS, own("f")], ToolChoice("tool", "web_search"))

    assert said == {"tools": [function("f")]}


@pytest.mark.parametrize(
    ("raw", "choice", "param"),
    [
        ([own("f")], ToolChoice("tool", "g"), "tool_choice.name"),
        ([own("f")], ToolChoice("tool"), "tool_choice.name"),
        ([own("f"), {"name": "g"}], None, "tools[1].input_schema"),
        ([{"input_schema": {}}], None, "tools[0].name"),
        ([own("")], None, "tools[0].name"),
        ([{"name": "f", "input_schema": "x"}], None, "tools[0].input_schema"),
        ([own("f", description=5)], None, "tools[0].description"),
    ],
)
def test_a_wrong_tool_is_named(raw: list[Any], choice: ToolChoice | None, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat_tools(raw, choice)

    assert caught.value.param == param


@pytest.mark.parametrize("engines", ["abc123XYZ", "functions.f:0", "call_1"])
def test_an_engine_gets_its_own_id_back(engines: str) -> None:
    assert id_for_client(engines).startswith("toolu_")
    assert id_for_engine(id_for_client(engines)) == engines


@pytest.mark.parametrize(
    ("id_", "engines"), [("toolu_1", "1"), ("call_1", "call_1"), ("toolu_", "toolu_")]
)
def test_an_id_of_another_server_stays_one(id_: str, engines: str) -> None:
    assert id_for_engine(id_) == engines
