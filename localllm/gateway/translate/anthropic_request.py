"""Anthropic's Messages API, as chat completions. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localllm.gateway.translate.anthropic_content import chat_messages
from localllm.gateway.translate.anthropic_stream import MessagesAnswer, Thoughts
from localllm.gateway.translate.anthropic_tools import chat_tools, found_tools
from localllm.gateway.translate.anthropic_wire import Request, parse_request, wrong
from localllm.gateway.translate.billing import BILLING, without_billing
from localllm.gateway.translate.translation import Translated

_TRANSLATED = frozenset(Request.__struct_fields__)
_MEANINGLESS = frozenset(
    {
        "anthropic_beta",
        "anthropic_version",
        "betas",
        "billing_policy",
        "cache_control",
        "container",
        "context_management",
        "diagnostics",
        "fallback_credit_token",
        "fallbacks",
        "inference_geo",
        "mcp_servers",
        "metadata",
        "safeguards",
        "service_tier",
        "speed",
        "user_profile_id",
        "workspace_id",
    }
)
"""About Anthropic's own servers. All other members are passed on, as `min_p` or `seed`."""

_NOT_PASSED = _TRANSLATED | _MEANINGLESS | {"n"}
"""There is one answer to a request."""

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""What models know of Anthropic's levels: templates refuse words that they do not know."""

_STREAMED: dict[str, object] = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "timings_per_token": True,
    "return_progress": True,
}


def messages_request(
    body: bytes,
    new_id: Callable[[str], str],
    *,
    served: str | None = None,
    remove_billing_header: bool = True,
) -> Translated:
    """Translate a request for `/v1/messages`.

    Args:
        served: The id of the model that will answer; None: it is not known yet.
        new_id: Makes an id that begins with what it is given.
        remove_billing_header: Take out the line that is another one in each session.

    Raises:
        BadRequest: A value is wrong; it is named.
    """
    sent, members = parse_request(body)
    request = without_billing(sent) if remove_billing_header else sent
    if request.max_tokens is None:
        raise wrong("max_tokens", "the field is required")
    answer = MessagesAnswer(
        served or request.model or "localllm",
        thoughts=_thoughts(request),
        stops=request.stop_sequences or (),
        new_id=new_id,
    )
    chat = _chat(request, members) | _STREAMED
    removed = () if request is sent else (BILLING,)
    return Translated(request.model, bool(request.stream), chat, answer, removed)


def count_tokens_request(body: bytes, *, remove_billing_header: bool = True) -> dict[str, object]:
    """Translate a request for `/v1/messages/count_tokens`: the chat whose prompt is to be counted.

    Args:
        remove_billing_header: As in `messages_request`.

    Raises:
        BadRequest: A value is wrong; it is named.
    """
    request, members = parse_request(body)
    return _chat(without_billing(request) if remove_billing_header else request, members)


def _chat(request: Request, members: dict[str, Any]) -> dict[str, object]:
    passed_on = {name: value for name, value in members.items() if name not in _NOT_PASSED}
    chat: dict[str, object] = {
        **passed_on,
        "messages": chat_messages(request.system, request.messages),
        **chat_tools(request.tools or (), request.tool_choice, found_tools(members["messages"])),
        **_sampling(request),
        **_thinking(request, members.get("chat_template_kwargs")),
    }
    if request.model is not None:
        chat["model"] = request.model
    if (wanted := request.format) is not None:
        schema = {"name": "answer", "schema": wanted.schema, "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    return chat


def _sampling(request: Request) -> dict[str, object]:
    """Translate how an answer is chosen, and how long it may be.

    The stop sequences are for MessagesAnswer: no engine tells which one it met.
    """
    most = None if request.max_tokens is None else max(request.max_tokens, 1)
    said = {
        "max_tokens": most,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
    }
    return {name: value for name, value in said.items() if value is not None}


def _thinking(request: Request, own: object) -> dict[str, object]:
    """Translate whether and how much to think.

    Args:
        own: What the client itself tells the template; it has the last word.
    """
    said: dict[str, object] = {}
    settings: dict[str, object] = {}
    effort = request.output_config and request.output_config.effort
    if effort in _EFFORTS:  # services read the first, llama.cpp's templates the second alone
        said["reasoning_effort"] = settings["reasoning_effort"] = _EFFORTS[effort]
    if (thinks := _thinks(request)) is not None:
        settings["enable_thinking"] = thinks
    if settings or own is not None:
        said["chat_template_kwargs"] = {**settings, **own} if isinstance(own, dict) else settings
    if thinks and request.thinking and request.thinking.budget_tokens:
        said["thinking_budget_tokens"] = request.thinking.budget_tokens
    return said


def _thoughts(request: Request) -> Thoughts:
    match request.thinking and request.thinking.type:
        case "disabled":
            return Thoughts.UNWANTED
        case "enabled" | "adaptive":
            return Thoughts.ASKED
        case _:
            return Thoughts.LEFT


def _thinks(request: Request) -> bool | None:
    """Tell whether the model is to think; None leaves it to the model.

    An answer that the client has begun goes on where it is: llama.cpp refuses to think then.
    """
    kind = request.thinking.type if request.thinking else None
    if kind == "enabled":
        return True
    if kind == "disabled" or request.messages[-1].role == "assistant":
        return False
    return True if kind == "adaptive" else None
