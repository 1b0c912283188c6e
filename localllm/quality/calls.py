"""Questions with tools, or with a schema that the answer is to keep; the judges of the answers. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localllm.quality.speaking import Reply
from localllm.quality.tasks import DETERMINISTIC
from localllm.quality.voice import Body

_CITY = {"type": "string", "description": "Name of the city."}
_WEATHER = {
    "type": "object",
    "properties": {"city": _CITY, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["city"],
    "additionalProperties": False,
}
_MAIL = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "text": {"type": "string"}},
    "required": ["to", "text"],
    "additionalProperties": False,
}
_PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_SCHEMAS: Mapping[str, Any] = {"get_weather": _WEATHER, "send_mail": _MAIL}
_SAYS = {"get_weather": "Current weather of a city.", "send_mail": "Send an e-mail to a person."}
TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": _SAYS[name], "parameters": schema},
    }
    for name, schema in _SCHEMAS.items()
]


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether an answer has the right form, and is right."""

    valid: bool
    right: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One question."""

    name: str
    chat: Body
    judge: Callable[[Reply], Judged]
    forced: bool = False
    """Whether the engine is to hold the answer to its form, so that even a small model keeps it."""

    as_message: bool = False
    """Whether it is asked through Anthropic's API, too."""

    quick: bool = False

    @property
    def has_tools(self) -> bool:
        return "tools" in self.chat


def cases_for(*, quick: bool, knows_tools: bool | None) -> Sequence[Case]:
    """List those of a check.

    Args:
        knows_tools: Whether the chat template does; None is unknown. Where it does not, the model
            never sees a tool, and is asked for none.
    """
    chosen = [case for case in _CASES if case.quick or not quick]
    return [case for case in chosen if knows_tools is not False or not case.has_tools]


def _chat(question: str, **more: object) -> Body:
    message = {"role": "user", "content": question}
    return {"messages": [message], "max_tokens": 128, **DETERMINISTIC, **more}


def calls_weather_in(*cities: str) -> Callable[[Reply], Judged]:
    """It asks for the weather of these cities, and for nothing else."""

    def judged(reply: Reply) -> Judged:
        wrong = _wrong_form(reply)
        if wrong is not None:
            return Judged(valid=False, right=False, why=wrong)
        if not reply.calls:
            return Judged(valid=False, right=False, why="it calls no tool")
        asked = [(call.name, json.loads(call.arguments)) for call in reply.calls]
        meant = [city for name, told in asked if name == "get_weather" for city in [told["city"]]]
        found = len(asked) == len(cities) and all(
            any(city.casefold() in one.casefold() for one in meant) for city in cities
        )
        return Judged(valid=True, right=found, why="" if found else f"it calls {_named(reply)}")

    return judged


def calls_nothing(reply: Reply) -> Judged:
    """It answers by itself, since no tool is of use."""
    wrong = _wrong_form(reply)
    if wrong is not None:
        return Judged(valid=False, right=False, why=wrong)
    if reply.calls:
        return Judged(valid=True, right=False, why=f"it calls {_named(reply)}")
    return Judged(valid=True, right=bool(reply.text.strip()), why="")


def keeps_schema(reply: Reply) -> Judged:
    """It is a document of the schema, with what was said in it."""
    if reply.refusal is not None:
        return Judged(valid=False, right=False, why=reply.refusal)
    try:
        told = json.loads(reply.text)
    except ValueError:
        return Judged(valid=False, right=False, why=f"it is no JSON: {reply.text[:60]!r}")
    wrong = misfit(told, _PERSON)
    if wrong is not None:
        return Judged(valid=False, right=False, why=wrong)
    right = told == {"name": "Mira", "age": 34}
    return Judged(valid=True, right=right, why="" if right else f"it says {json.dumps(told)[:60]}")


def _wrong_form(reply: Reply) -> str | None:
    if reply.refusal is not None:
        return reply.refusal
    for call in reply.calls:
        schema = _SCHEMAS.get(call.name)
        if schema is None:
            return f"it calls {call.name[:40]!r}, which is not there"
        try:
            told = json.loads(call.arguments)
        except ValueError:
            return f"the arguments of {call.name} are no JSON: {call.arguments[:60]!r}"
        if (wrong := misfit(told, schema)) is not None:
            return f"the arguments of {call.name}: {wrong}"
    return None


def _named(reply: Reply) -> str:
    return ", ".join(f"{call.name}({call.arguments[:40]})" for call in reply.calls)


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
}


def misfit(value: object, schema: Mapping[str, Any]) -> str | None:
    """Say in what a document is not of a schema, of those that stand above; None: it is."""
    if not _TYPES[schema["type"]](value):
        return f"{str(value)[:40]!r} is no {schema['type']}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is none of {', '.join(schema['enum'])}"
    if not isinstance(value, dict):
        return None
    known = schema["properties"]
    strange = [name for name in value if name not in known]
    lacking = [name for name in schema["required"] if name not in value]
    if strange or lacking:
        return f"{'unknown' if strange else 'missing'}: {', '.join(strange or lacking)[:60]}"
    inner = (misfit(told, known[name]) for name, told in value.items())
    return next((wrong for wrong in inner if wrong is not None), None)


def same_calls(one: Reply, other: Reply) -> bool:
    """Whether two answers call the same tools with the same arguments."""
    return [*map(_plain, one.calls)] == [*map(_plain, other.calls)]


def _plain(call: object) -> tuple[str, object]:
    name, arguments = getattr(call, "name", ""), getattr(call, "arguments", "")
    try:
        return name, json.loads(arguments)
    except ValueError:
        return name, arguments


_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "person", "strict": True, "schema": _PERSON},
}
_CASES = (
    Case(
        "a required tool",
        _chat("What is the weather in Oslo?", tools=TOOLS[:1], tool_choice="required"),
        calls_weather_in("Oslo"),
        forced=True,
        as_message=True,
        quick=True,
    ),
    Case(
        "a schema",
        _chat("Mira is 34 years old. Who is it, and how old?", response_format=_SCHEMA),
        keeps_schema,
        forced=True,
        quick=True,
    ),
    Case(
        "a fitting tool",
        _chat("What is the weather in Oslo right now?", tools=TOOLS),
        calls_weather_in("Oslo"),
        as_message=True,
        quick=True,
    ),
    Case(
        "two calls",
        _chat("Compare the weather in Oslo and in Lima.", tools=TOOLS, parallel_tool_calls=True),
        calls_weather_in("Oslo", "Lima"),
    ),
    Case(
        "no fitting tool",
        _chat("What is the capital of France? Answer in one word.", tools=TOOLS),
        calls_nothing,
    ),
)
