"""A request for a response as a chat completion, which every engine knows. Pure.

Source: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from localllm.gateway.translate.responses_body import (
    Object,
    Request,
    parse_request,
    wrong,
)
from localllm.gateway.translate.responses_document import opening_document
from localllm.gateway.translate.responses_items import add_items, items_of, tools_among
from localllm.gateway.translate.responses_messages import Messages
from localllm.gateway.translate.responses_store import Conversation, Earlier
from localllm.gateway.translate.responses_stream import Answered, ResponseAnswer
from localllm.gateway.translate.responses_tools import Toolbox, chosen, toolbox_of
from localllm.gateway.translate.translation import Translated

_SEALED = "reasoning.encrypted_content"
_PASSED_ON = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
)
_ALWAYS: Object = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "timings_per_token": True,
    "return_progress": True,
}
_WITHOUT_THOUGHT = frozenset({"none", "minimal"})
_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""What models know of OpenAI's levels: templates and vLLM refuse words that they do not know."""


def responses_request(
    body: bytes,
    *,
    earlier: Earlier,
    new_id: Callable[[str], str],
    now: Callable[[], float],
    served: str | None = None,
) -> Translated:
    """Translate a request.

    Args:
        earlier: What the client may go on from; told of the answer, unless `store` is false.
        new_id: Makes an id that begins with the given prefix, as `resp_`.
        now: The time, in seconds since 1970.
        served: The id of the model that will answer; None: it is not known yet.

    Raises:
        BadRequest: It is wrong, or asks for what is not to be had here; `param` names the field.
    """
    asked, extra = parse_request(body)
    _refuse_hosted(asked)
    talk = _read_talk(asked, earlier)
    document = opening_document(asked, new_id("resp_"), int(now()))
    document["model"] = served or asked.model or "localllm"

    def keep(output: list[Object]) -> None:
        if asked.store is not False:
            earlier.keep(str(document["id"]), talk.before.continued([*talk.new, *output]))

    is_sealed = _SEALED in (asked.include or ())
    answer = ResponseAnswer(Answered(document, talk.tools, is_sealed, new_id, now, keep))
    return Translated(asked.model, bool(asked.stream), _chat(asked, talk, extra), answer)


def _refuse_hosted(asked: Request) -> None:
    """Refuse what only OpenAI's own service keeps or does."""
    if asked.background:
        raise wrong("background", "nothing is answered in the background here", "leave it out")
    if asked.conversation is not None:
        fix = "use previous_response_id, or send the whole conversation as input"
        raise wrong("conversation", "no conversations are kept here", fix)
    if asked.prompt is not None:
        raise wrong("prompt", "no prompt templates are kept here", "send the prompt as input")


@dataclass(frozen=True, slots=True)
class _Talk:
    """What was said up to now, and the tools that there are."""

    before: Conversation
    new: list[Object]
    tools: Toolbox
    messages: list[Object]


def _read_talk(asked: Request, earlier: Earlier) -> _Talk:
    before, new = Conversation(), items_of(asked.input, earlier)
    if asked.previous_response_id is not None:
        before = earlier.conversation(asked.previous_response_id)
    parts = {"previous_response_id": before.items(), "input": new}
    given = {"tools": asked.tools or []}
    for where, items in parts.items():
        given |= tools_among(items, where)
    tools = toolbox_of(given)
    messages = Messages()
    if asked.instructions:
        messages.instruct(asked.instructions)
    for where, items in parts.items():
        add_items(messages, items, tools, where)
    return _Talk(before, new, tools, _some(messages.finished()))


def _some(messages: list[Object]) -> list[Object]:
    if not any(message["role"] != "system" for message in messages):
        raise wrong("input", "it says nothing that could be answered", "send a message")
    return messages


def _chat(asked: Request, talk: _Talk, extra: Object) -> Object:
    chat: Object = extra | {"messages": talk.messages} | _ALWAYS
    if asked.model is not None:
        chat["model"] = asked.model
    if asked.max_output_tokens is not None:
        chat["max_tokens"] = asked.max_output_tokens
    for name in _PASSED_ON:
        if (value := getattr(asked, name)) is not None:
            chat[name] = value
    effort = _effort(asked, extra.get("chat_template_kwargs"))
    return chat | _tools(asked, talk) | _format(asked) | effort


def _tools(asked: Request, talk: _Talk) -> Object:
    offered, choice = chosen(talk.tools, asked.tool_choice)
    if not offered.functions:
        return {}
    tools: Object = {"tools": list(offered.functions.values())}
    return tools if choice is None else tools | {"tool_choice": choice}


def _format(asked: Request) -> Object:
    wanted = asked.text.format if asked.text else None
    if wanted is None or wanted.type == "text":
        return {}
    if wanted.type == "json_object":
        return {"response_format": {"type": "json_object"}}
    if wanted.schema is None:
        raise wrong("text.format.schema", "a format of type json_schema needs one")
    schema: Object = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _effort(asked: Request, own: object) -> Object:
    """Say how long the model is to think, as services do and as chat templates are told.

    Args:
        own: What the client itself tells the template; it has the last word.
    """
    effort = asked.reasoning.effort if asked.reasoning else None
    if effort is None:
        return {}
    said: Object = {} if effort == "none" else {"reasoning_effort": _EFFORTS[effort]}
    told = said | ({"enable_thinking": False} if effort in _WITHOUT_THOUGHT else {})
    return said | {"chat_template_kwargs": told | own if isinstance(own, dict) else told}
