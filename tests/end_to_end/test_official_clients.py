"""The official clients of both APIs get the same from every engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import agents
import anthropic
import openai
import pytest

from tests.end_to_end.engines import CONTEXT
from tests.fakes.installation import Installation

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]

ASKED: dict[str, Any] = {
    "max_tokens": 16,
    "extra_body": {"temperature": 0},  # which newer versions of the client have no word for
    "messages": [{"role": "user", "content": "Name three colours, in English."}],
}
INPUT = "Name three colours, in English."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"name": "look_up", "description": "Look up a city.", "input_schema": SCHEMA}


@pytest.fixture
def claude(engine_served: Installation) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=engine_served.url, api_key="none", max_retries=0, timeout=280
    ) as client:
        yield client


@pytest.fixture
def client(engine_served: Installation) -> Iterator[openai.OpenAI]:
    url = f"{engine_served.url}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=280) as client:
        yield client


@pytest.fixture
def model(engine_served: Installation) -> str:
    return str(engine_served.model()["id"])


def test_a_message_has_text_a_reason_to_end_and_its_usage(
    claude: anthropic.Anthropic, model: str
) -> None:
    message = claude.messages.create(model=model, **ASKED)

    assert (message.type, message.role, message.model) == ("message", "assistant", model)
    (block,) = message.content
    assert block.type == "text"
    assert block.text.strip()
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 5
    assert 0 < message.usage.output_tokens <= ASKED["max_tokens"]


def test_a_streamed_message_is_the_whole_one_in_pieces(
    claude: anthropic.Anthropic, model: str
) -> None:
    whole = claude.messages.create(model=model, **ASKED)
    with claude.messages.stream(model=model, **ASKED) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()

    assert "".join(pieces) == message.content[0].text == whole.content[0].text  # type: ignore[union-attr]
    assert len(pieces) > 3, "it came in pieces"
    assert message.stop_reason == whole.stop_reason
    assert (message.usage.cache_read_input_tokens or 0) > 0, "it was asked before"
    assert message.usage.output_tokens == whole.usage.output_tokens


def test_a_stop_sequence_ends_a_message_and_is_named(
    claude: anthropic.Anthropic, model: str
) -> None:
    text = claude.messages.create(model=model, **ASKED).content[0].text  # type: ignore[union-attr]
    word = text.split()[2]

    message = claude.messages.create(model=model, **ASKED, stop_sequences=["nowhere", word])

    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", word)
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 5
    assert message.content[0].text == text[: text.index(word)]  # type: ignore[union-attr]


def test_a_messages_tokens_are_counted_before_it_is_sent(
    claude: anthropic.Anthropic, model: str
) -> None:
    asked = {"messages": ASKED["messages"], "system": "You are brief."}
    counted = claude.messages.count_tokens(model=model, **asked)

    usage = claude.messages.create(model=model, max_tokens=1, **asked).usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_a_tool_is_called_with_what_it_takes_or_refused_and_never_ignored(
    claude: anthropic.Anthropic, model: str
) -> None:
    asked = {**ASKED, "max_tokens": 64, "tool_choice": {"type": "tool", "name": "look_up"}}
    try:
        message = claude.messages.create(model=model, **asked, tools=[TOOL])  # type: ignore[list-item]
    except anthropic.BadRequestError as refused:
        assert "tool" in str(refused)  # noqa: PT017  # both are right
        return
    (call,) = (block for block in message.content if block.type == "tool_use")
    assert (call.name, message.stop_reason) == ("look_up", "tool_use")
    assert isinstance(call.input["city"], str)


def test_a_message_that_is_too_long_is_refused_as_agents_understand_it(
    claude: anthropic.Anthropic, model: str
) -> None:
    with pytest.raises(
        anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > \d+"
    ) as e:
        claude.messages.create(
            model=model,
            max_tokens=8,
            messages=[{"role": "user", "content": "word " * 3 * CONTEXT}],
        )

    assert f"{CONTEXT} maximum" in str(e.value)
    assert e.value.response.headers["x-should-retry"] == "false"


def test_a_message_to_nobody_is_not_found(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nobody", **ASKED)


def test_a_response_has_text_and_its_usage(client: openai.OpenAI, model: str) -> None:
    response = client.responses.create(
        model=model, input=INPUT, max_output_tokens=64, temperature=0
    )

    assert response.output_text.strip()
    assert response.status in {"completed", "incomplete"}
    assert response.usage is not None
    assert response.usage.input_tokens > 5
    assert 0 < response.usage.output_tokens <= 64
    assert response.usage.input_tokens_details.cached_tokens >= 0
    assert response.usage.output_tokens_details.reasoning_tokens == 0


def test_a_streamed_response_is_the_whole_one_in_pieces(client: openai.OpenAI, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "input": "Say: yes.", "temperature": 0}
    whole = client.responses.create(**asked)
    pieces: list[str] = []
    with client.responses.stream(**asked) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
        response = stream.get_final_response()

    assert "".join(pieces) == response.output_text == whole.output_text
    assert response.status == "completed"
    assert response.usage == whole.usage or response.usage is not None


def test_a_response_continues_an_earlier_one(client: openai.OpenAI, model: str) -> None:
    first = client.responses.create(model=model, input=INPUT, max_output_tokens=8, temperature=0)
    second = client.responses.create(
        model=model,
        input="And one more?",
        max_output_tokens=8,
        temperature=0,
        previous_response_id=first.id,
    )

    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens
    assert second.previous_response_id == first.id


def test_a_format_of_a_response_is_kept_or_refused_and_never_ignored(
    client: openai.OpenAI, model: str
) -> None:
    wanted = {"type": "json_schema", "name": "a_city", "schema": SCHEMA, "strict": True}
    try:
        response = client.responses.create(
            model=model,
            input=INPUT,
            max_output_tokens=48,
            temperature=0,
            text={"format": wanted},  # type: ignore[typeddict-item]
        )
    except openai.BadRequestError as refused:
        assert "format" in str(refused)  # noqa: PT017  # both are right
        return
    said = json.loads(response.output_text)
    assert set(said) == {"city"}


def test_a_response_that_is_too_long_is_told_with_both_numbers(
    client: openai.OpenAI, model: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input="word " * 3 * CONTEXT)

    assert caught.value.code == "context_length_exceeded"
    assert str(CONTEXT) in str(caught.value)


def test_a_text_is_completed_whole_and_in_pieces(client: openai.OpenAI, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "prompt": "One, two,", "max_tokens": 8}
    whole = client.completions.create(**asked, temperature=0)
    pieces = list(client.completions.create(**asked, temperature=0, stream=True))

    assert "three" in whole.choices[0].text
    assert "".join(c.choices[0].text for c in pieces if c.choices) == whole.choices[0].text
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 8


def test_a_suffix_is_filled_in_or_refused_and_never_ignored(
    client: openai.OpenAI, model: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:  # this model was not trained for it
        client.completions.create(model=model, prompt="def f(", suffix="return 1", max_tokens=4)

    assert caught.value.param == "suffix"


def test_the_program_llm_talks_with_it(engine_served: Installation, model: str) -> None:
    command = [sys.executable, "-m", "llm", "openai", "endpoint", f"{engine_served.url}/v1"]
    environment = {**os.environ, "LLM_USER_PATH": str(engine_served.home / "llm")}

    done = subprocess.run(
        [*command, "-m", model, "Say: yes.", "-o", "max_tokens", "8"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [agents.OpenAIChatCompletionsModel, agents.OpenAIResponsesModel])
async def test_openais_agents_talk_with_it(
    kind: type[agents.Model], engine_served: Installation, model: str
) -> None:
    agents.set_tracing_disabled(disabled=True)
    url = f"{engine_served.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        agent = agents.Agent(
            name="a",
            instructions="Be brief.",
            model=kind(model, client),
            model_settings=agents.ModelSettings(max_tokens=32, temperature=0),
        )
        run = agents.Runner.run_streamed(agent, INPUT)
        kinds = {event.type async for event in run.stream_events()}

    assert str(run.final_output).strip()
    assert "raw_response_event" in kinds
