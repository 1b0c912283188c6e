"""One API whatever runs behind it: the same requests, by OpenAI's own client, on every engine."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.end_to_end.engines import CONTEXT, ENGINES
from tests.fakes.installation import Installation, wait_until

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
QUESTION = [{"role": "user", "content": "Name three colours, in English."}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture
def served(engine_served: Installation) -> Installation:
    return engine_served


@pytest.fixture
def client(served: Installation) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=280)


@pytest.fixture
def model(served: Installation) -> str:
    return str(served.model()["id"])


def test_it_is_served_by_the_engine_that_was_asked_for_and_measured(served: Installation) -> None:
    shown = served.model()

    assert shown["state"] == "ready"
    assert shown["engine"] in ENGINES
    assert shown["speed"]["measured_tps"] > 0
    assert shown["memory"]["measured"] > 80 << 20
    assert shown["warnings"] == []


def test_a_chat_has_text_a_reason_to_end_and_its_usage(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=24, temperature=0
    )

    (choice,) = answer.choices
    assert answer.object == "chat.completion"
    assert answer.model == model
    assert (choice.message.content or "").strip()
    assert choice.message.role == "assistant"
    assert choice.finish_reason in {"stop", "length"}
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 5
    assert 0 < answer.usage.completion_tokens <= 24
    total = answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.total_tokens == total


def test_an_answer_that_is_not_to_end_is_as_long_as_it_may_be(
    client: openai.OpenAI, model: str
) -> None:
    said = [{"role": "user", "content": "Say only the word yes."}]
    ends = client.chat.completions.create(model=model, messages=said, max_tokens=100, temperature=0)
    goes_on = client.chat.completions.create(
        model=model, messages=said, max_tokens=100, temperature=0, extra_body={"ignore_eos": True}
    )

    assert ends.choices[0].finish_reason == "stop", "or the test tells nothing"
    assert goes_on.choices[0].finish_reason == "length"
    assert goes_on.usage is not None
    assert goes_on.usage.completion_tokens == 100


def test_a_stream_says_the_same_piece_by_piece_and_ends_with_its_usage(
    client: openai.OpenAI, model: str
) -> None:
    stream = client.chat.completions.create(
        model=model,
        messages=QUESTION,
        max_tokens=8,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    assert {c.model for c in chunks} == {model}
    assert {c.object for c in chunks} == {"chat.completion.chunk"}
    assert len({c.id for c in chunks}) == 1
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    whole = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=8, temperature=0
    )
    assert text == whole.choices[0].message.content
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert reasons[-1] in {"stop", "length"}
    assert not any(reasons[:-1])
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens <= 8
    assert len(chunks) > 3, "it came in pieces"


def test_without_the_wish_a_stream_has_no_usage(client: openai.OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=2, stream=True
    )

    assert [c.usage for c in stream if c.usage is not None] == []


def test_a_length_ends_it_and_says_so(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=2)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_a_stop_word_ends_it_and_is_not_part_of_it(client: openai.OpenAI, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": QUESTION, "temperature": 0}
    whole = client.chat.completions.create(**asked, max_tokens=12).choices[0].message.content or ""
    word = whole.split()[2]

    choice = client.chat.completions.create(**asked, max_tokens=12, stop=[word]).choices[0]

    assert choice.finish_reason == "stop"
    assert choice.message.content == whole[: whole.index(word)]


def test_without_a_length_the_answer_is_not_cut_at_an_engines_own_short_default(
    client: openai.OpenAI, model: str
) -> None:
    """Left as soon as that is sure; that mlx-lm's 512 is none here, its worker's test shows."""
    long = [{"role": "user", "content": "Count from 1 to 400, with a comma after each number."}]
    stream = client.chat.completions.create(
        model=model, messages=long, temperature=0, stream=True, stop=["\n\n\n\n"]
    )
    with stream:
        pieces = sum(1 for _, chunk in zip(range(40), stream, strict=False) if chunk.choices)

    assert pieces > 30


def test_a_prompt_that_is_too_long_is_told_with_both_numbers(
    client: openai.OpenAI, model: str
) -> None:
    long = [{"role": "user", "content": "word " * 3 * CONTEXT}]

    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=long)

    assert caught.value.code == "context_length_exceeded"
    assert str(CONTEXT) in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": "hot"},
        {"messages": "hello"},
        {"messages": [{"content": "who says so?"}]},
        {"max_tokens": "many"},
    ],
    ids=["temperature", "messages", "no role", "max_tokens"],
)
def test_a_wrong_value_is_a_bad_request_in_openais_shape(
    client: openai.OpenAI, model: str, wrong: dict[str, Any]
) -> None:
    body = {"model": model, "messages": QUESTION, "max_tokens": 2, **wrong}

    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)

    assert set(caught.value.body or {}) >= {"message", "type", "code"}  # type: ignore[arg-type]
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_format_is_kept_or_refused_and_never_ignored(client: openai.OpenAI, model: str) -> None:
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "a_city", "schema": SCHEMA, "strict": True},
    }
    try:
        answer = client.chat.completions.create(
            model=model,
            messages=QUESTION,
            max_tokens=48,
            temperature=0,
            response_format=wanted,  # type: ignore[arg-type]
        )
    except openai.BadRequestError as refused:
        assert "response_format" in str(refused)  # noqa: PT017  # both are right
        return
    said = json.loads(answer.choices[0].message.content or "")
    assert set(said) == {"city"}
    assert isinstance(said["city"], str)


def test_tools_are_taken_or_refused_and_never_ignored(client: openai.OpenAI, model: str) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look up a word.",
            "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
        },
    }
    try:
        answer = client.chat.completions.create(
            model=model,
            messages=QUESTION,
            max_tokens=24,
            tools=[tool],  # type: ignore[list-item]
        )
    except openai.BadRequestError as refused:
        assert "tools" in str(refused)  # noqa: PT017  # both are right
        return
    for call in answer.choices[0].message.tool_calls or []:
        assert call.type == "function"
        json.loads(call.function.arguments)


def test_a_client_that_leaves_ends_its_answer_and_the_next_is_served_at_once(
    client: openai.OpenAI, served: Installation, model: str
) -> None:
    long = [{"role": "user", "content": "Tell a very long story."}]
    stream = client.chat.completions.create(model=model, messages=long, max_tokens=900, stream=True)
    next(iter(stream))
    stream.close()

    wait_until(lambda: served.model()["requests"]["active"] == 0, "it is over")
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=2)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_an_unknown_model_is_told_whatever_the_engine(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-none", messages=QUESTION)
