"""A response as a document: what it repeats of its request, and what its answer took. Pure.

Source: response.py in openai-python 3.57; ResponseResource in the schema of openresponses.org, of
which every field must be there.
"""

from __future__ import annotations

import msgspec

from localllm.gateway.translate.chunks import Timings, Usage
from localllm.gateway.translate.responses_body import Object, Request, TextFormat
from localllm.gateway.usage import tokens_of

_USUAL = 1.0
"""Of temperature and top_p, where the model's own are not known here: the schema wants a number."""

_OF_A_FUNCTION: Object = {"description": None, "parameters": None, "strict": None}


def opening_document(asked: Request, response_id: str, created_at: int) -> Object:
    """Write a response of which nothing is known yet but its request."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
        **_about_the_request(asked),
        **_about_the_answer(asked),
    }


def _about_the_request(asked: Request) -> Object:
    return {
        "instructions": asked.instructions,
        "previous_response_id": asked.previous_response_id,
        "metadata": asked.metadata or {},
        "prompt_cache_key": asked.prompt_cache_key,
        "safety_identifier": asked.safety_identifier,
        "service_tier": "default",
        "store": asked.store is not False,
        "truncation": "disabled",  # nothing is ever cut, whatever was allowed
        "user": asked.user,
    }


def _about_the_answer(asked: Request) -> Object:
    reasoning = asked.reasoning
    return {
        "frequency_penalty": asked.frequency_penalty or 0.0,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": asked.max_tool_calls,
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "presence_penalty": asked.presence_penalty or 0.0,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        "temperature": _USUAL if asked.temperature is None else asked.temperature,
        "text": _text(asked),
        "tool_choice": asked.tool_choice or "auto",
        "tools": [
            (_OF_A_FUNCTION | tool) if tool.get("type") == "function" else tool
            for tool in asked.tools or ()
        ],
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": _USUAL if asked.top_p is None else asked.top_p,
    }


def _text(asked: Request) -> Object:
    text = asked.text
    written: Object = {"format": _format(text.format if text else None)}
    if text is not None and text.verbosity is not None:
        written["verbosity"] = text.verbosity
    return written


def _format(asked: TextFormat | None) -> Object:
    if asked is None:
        return {"type": "text"}
    if asked.type != "json_schema":
        return {"type": asked.type}
    written: Object = msgspec.to_builtins(asked)
    return written | {"strict": bool(asked.strict)}


def usage_document(usage: Usage | None, timings: Timings | None, thought_tokens: int) -> Object:
    """Say what an answer took. Codex fails the turn where a field of it is missing.

    Args:
        thought_tokens: Of the answer, as far as they were counted; what the engine says comes first.
    """
    tokens = tokens_of(usage, timings)
    prompt, cached, generated, reasoning = (
        (tokens.prompt, tokens.cached, tokens.generated, tokens.reasoning)
        if tokens
        else (0, 0, 0, 0)
    )
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": generated,
        "output_tokens_details": {"reasoning_tokens": reasoning or min(thought_tokens, generated)},
        "total_tokens": prompt + generated,
    }
