"""Tools of a response as functions that every engine knows, and back."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.errors import BadRequest
from localllm.gateway.translate.responses_tools import Origin, Toolbox, chosen, toolbox_of
from tests.unit.gateway.translate.responses_talk import messages, translate

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = {"type": "function", "name": "read", "description": "Reads.", "parameters": SCHEMA}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Patches.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}


def namespace(name: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "name": inner} for inner in names]
    return {"type": "namespace", "name": name, "description": "", "tools": tools}


def box(*tools: Any) -> Toolbox:
    return toolbox_of({"tools": list(tools)})


def test_a_function_stays_what_it_is() -> None:
    assert list(box(READ | {"strict": True}).functions.values()) == [
        {
            "type": "function",
            "function": {
                "name": "read",
                "description": "Reads.",
                "parameters": SCHEMA,
                "strict": True,
            },
        }
    ]


def test_strictness_is_not_made_up() -> None:
    function: Any = box(READ | {"strict": None}).functions["read"]["function"]

    assert "strict" not in function


def test_a_tool_that_takes_text_is_a_function_with_one_field() -> None:
    function: Any = box(PATCH).functions["apply_patch"]["function"]

    assert function["parameters"]["required"] == ["input"]
    assert function["parameters"]["properties"]["input"]["type"] == "string"
    assert function["description"].startswith("Patches.")
    assert function["description"].endswith("lark grammar:\nstart: /.+/")


def test_what_no_local_model_can_do_is_left_out() -> None:
    hosted = [{"type": kind} for kind in ("web_search", "local_shell", "mcp", "tool_search", "new")]

    assert list(box(*hosted, READ).functions) == ["read"]
    assert "tools" not in translate(tools=hosted, tool_choice="auto").chat


def test_every_function_has_a_name_of_its_own_that_engines_take() -> None:
    tools = box(
        READ,
        namespace("fs", "read", "write it!"),
        namespace("fs_", "read"),
        namespace("n" * 70, "a", "b"),
        {"type": "function", "name": "fs__read"},
    )

    names = list(tools.functions)
    assert names[:4] == ["read", "fs__read", "fs__write_it_", "fs__read_2"]
    assert len(set(names)) == 7
    assert all(len(name) <= 64 and name.replace("_", "a").isalnum() for name in names)
    assert [f["function"]["name"] for f in tools.functions.values()] == names  # type: ignore[index]
    assert tools.origins["fs__read_2"] == Origin("read", "fs_")


@pytest.mark.parametrize(
    ("called", "origin"),
    [
        ("read", Origin("read")),
        ("multi_agent_v1__close_agent", Origin("close_agent", "multi_agent_v1")),
        ("multi_agent_v1.close_agent", Origin("close_agent", "multi_agent_v1")),
        ("close_agent", Origin("close_agent", "multi_agent_v1")),
        ("mcp__fs__list", Origin("list", "mcp__fs__")),
        ("mcp__fs__.list", Origin("list", "mcp__fs__")),
        ("send", Origin("send")),
        ("made_up", Origin("made_up")),
    ],
)
def test_a_call_finds_its_tool_under_the_names_that_models_write(
    called: str, origin: Origin
) -> None:
    tools = box(
        READ,
        namespace("multi_agent_v1", "close_agent", "send"),
        namespace("mcp__fs__", "list", "send"),
    )

    assert tools.origin(called) == origin


def test_a_conversations_calls_have_the_names_of_the_tools_at_hand() -> None:
    call = {"type": "function_call", "call_id": "1", "name": "read", "arguments": "{}"}
    tools = [namespace("fs_", "read"), namespace("fs", "read")]

    said = messages([call | {"namespace": "fs"}, call | {"namespace": "gone"}], tools=tools)

    names = [made["function"]["name"] for made in said[0]["tool_calls"]]
    assert names == ["fs__read_2", "gone__read"]


def test_tools_may_come_in_the_middle_of_a_conversation() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [READ]}
    chat: Any = translate(input=[more, {"role": "user", "content": "hi"}]).chat

    assert [tool["function"]["name"] for tool in chat["tools"]] == ["read"]
    with pytest.raises(BadRequest) as refused:
        translate(input=[more | {"tools": [{"type": "custom"}]}])
    assert refused.value.param == "input[0].tools[0].name"


ALL = ["read", "apply_patch", "fs__list", "web__list"]
CHOICES: dict[str, tuple[Any, list[str], str | None]] = {
    "nothing said": (None, ALL, None),
    "auto": ("auto", ALL, "auto"),
    "none": ("none", ALL, "none"),
    "required": ("required", ALL, "required"),
    "a function": ({"type": "function", "name": "read"}, ["read"], "required"),
    "a custom tool": ({"type": "custom", "name": "apply_patch"}, ["apply_patch"], "required"),
    "a namespaced one": (
        {"type": "function", "name": "list", "namespace": "web"},
        ["web__list"],
        "required",
    ),
    "some": (
        {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "web_search"}, {"type": "function", "name": "read"}],
        },
        ["read"],
        "auto",
    ),
    "one of some": (
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [
                {"type": "custom", "name": "apply_patch"},
                {"type": "function", "name": "read"},
            ],
        },
        ["read", "apply_patch"],
        "required",
    ),
}


@pytest.mark.parametrize(("choice", "offered", "told"), CHOICES.values(), ids=CHOICES)
def test_a_choice_is_made_by_what_is_offered_since_engines_know_no_names(
    choice: Any, offered: list[str], told: str | None
) -> None:
    tools, said = chosen(
        box(READ, PATCH, namespace("fs", "list"), namespace("web", "list")), choice
    )

    assert (list(tools.functions), said) == (offered, told)


def test_a_call_is_understood_though_its_tool_was_not_offered() -> None:
    tools, _ = chosen(box(READ, PATCH), {"type": "function", "name": "read"})

    assert tools.origin("apply_patch").is_custom
