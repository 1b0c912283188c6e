"""A whole examination of an engine that answers by a script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from localllm.paths import bundled_profiles
from localllm.quality.examination import Examination, Voices, Wanted
from localllm.quality.facts import Facts, Speed, Subject
from localllm.quality.findings import findings_alone, verdict_of
from localllm.quality.speaking import CHAT, MESSAGES
from localllm.quality.texts import read_texts
from localllm.quality.tokens import Tongue
from localllm.quality.voice import Answer, Body, Silent
from tests.unit.quality.a_voice import ScriptedVoice
from tests.unit.quality.some_facts import a_subject

pytestmark = pytest.mark.anyio

TEXTS = read_texts(bundled_profiles())
Said = Mapping[str, Any]


def told(body: Said) -> object:
    """Know the answers."""
    text = body["messages"][0]["content"]
    tools = [tool["function"]["name"] for tool in body.get("tools", [])]
    cities = [city for city in ("Oslo", "Lima") if city in text and tools]
    calls = [
        {"index": n, "function": {"name": "get_weather", "arguments": json.dumps({"city": city})}}
        for n, city in enumerate(cities)
    ]
    says = next((a for q, a in _KNOWN.items() if q in text), "January, February, March.")
    message = {"role": "assistant", "content": "" if calls else says, "tool_calls": calls or None}
    if not body.get("stream"):
        return {"choices": [{"message": message, "finish_reason": "stop"}]}
    choice = {"index": 0, "delta": message, "finish_reason": "stop"}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\ndata: [DONE]\n\n"


_KNOWN = {
    "Mira is 34": '{"name": "Mira", "age": 34}',
    "exactly": "The blue kettle holds three litres.",
    "4821": "Graz",
    "17 + 25": "42",
    "Count": ", ".join(map(str, range(1, 13))),
    "JSON array": '["red", "green", "blue"]',
    "blue door": "7349",
    "capital of France": "Paris",
}


def messaged(_body: Said) -> object:
    block = {"type": "tool_use", "name": "get_weather", "input": {"city": "Oslo"}}
    return {"content": [block], "stop_reason": "tool_use"}


def likely(body: Said) -> object:
    return {"scores": [[token, -1.0, [[token, -1.0]]] for token in body["tokens"][body["from"] :]]}


def written(body: Said) -> object:
    said = [f"<|{m['role']}|>{m['content']}" for m in body["messages"]]
    return {"prompt": json.dumps(body.get("tools")) + "".join(said)}


SCRIPT = {
    "/tokenize": lambda body: {"tokens": [*body["content"].encode()]},
    "/detokenize": lambda body: {"content": bytes(body["tokens"]).decode()},
    "/apply-template": written,
    "/score": likely,
    CHAT: told,
    MESSAGES: messaged,
}


async def examined(
    voice: Any = None,
    *,
    quick: bool = False,
    within_s: float = 60,
    speed: Speed | None = None,
    subject: Subject | None = None,
) -> Facts:
    asked = voice or ScriptedVoice(SCRIPT)
    wanted = Wanted(subject or a_subject(), TEXTS, quick, within_s, 100.0, speed or Speed())
    voices = Voices(asked, asked, anthropic=True, name="m")
    return await Examination(wanted, voices, Tongue("mlx", "m")).run()


async def test_a_model_that_knows_it_all_passes_it_all() -> None:
    facts = await examined()

    assert [one.name for one in facts.tried if not one.passed] == []
    assert [one.name for one in facts.called if one.right < one.asked] == []
    assert {one.api for one in facts.called} == {"openai", "openai streamed", "anthropic"}
    assert len(facts.scored) == len(TEXTS.passages)
    assert verdict_of(findings_alone(facts)) == "ok"


async def test_a_full_check_asks_for_each_call_several_times() -> None:
    full, quick = await examined(), await examined(quick=True)

    assert {one.asked for one in full.called if one.api == "openai"} == {3}
    assert {one.asked for one in quick.called if one.api == "openai"} == {1}
    assert len(quick.scored) < len(full.scored)


async def test_a_stream_with_other_calls_than_the_whole_is_seen() -> None:
    def deaf(body: Said) -> object:
        return told({**body, "tools": []}) if body.get("stream") else told(body)

    facts = await examined(ScriptedVoice({**SCRIPT, CHAT: deaf}), quick=True)

    assert verdict_of(findings_alone(facts)) == "worse"


async def test_a_stream_with_other_arguments_is_not_the_same_answer() -> None:
    def wordy(body: Said) -> object:
        answer = told(body)
        if not body.get("stream"):
            return answer
        assert isinstance(answer, bytes)
        return answer.replace(b'\\"Oslo\\"}', b'\\"Oslo\\", \\"unit\\": \\"celsius\\"}')

    facts = await examined(ScriptedVoice({**SCRIPT, CHAT: wordy}), quick=True)

    (streamed,) = [
        c for c in facts.called if c.api == "openai streamed" and c.name == "a fitting tool"
    ]
    assert (streamed.valid, streamed.why) == (0, "its calls differ from the whole's")


def thinking_first(body: Said) -> object:
    """Need 300 tokens before the first of the answer."""
    if body["max_tokens"] >= 300:
        return told(body)
    message = {"content": "", "reasoning_content": "hm"}
    if not body.get("stream"):
        return {"choices": [{"message": message, "finish_reason": "length"}]}
    choice = {"index": 0, "delta": message, "finish_reason": "length"}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@pytest.mark.parametrize(("decode_tps", "judged"), [(40.0, True), (4.0, False)])
async def test_one_that_thinks_first_has_room_for_it_if_it_is_fast(
    decode_tps: float, judged: bool
) -> None:
    voice = ScriptedVoice({**SCRIPT, CHAT: thinking_first})

    facts = await examined(voice, quick=True, speed=Speed(None, decode_tps))

    assert {one.passed for one in facts.tried} == {True if judged else None}
    openai = [one for one in facts.called if one.api != "anthropic"]
    assert {(one.asked, one.valid) for one in openai} == {(1, 1) if judged else (0, 0)}
    assert verdict_of(findings_alone(facts)) == "ok"


async def test_a_base_model_is_asked_no_questions() -> None:
    facts = await examined(quick=True, subject=a_subject(has_template=False))

    assert (facts.tried, facts.called, len(facts.scored)) == ((), (), 2)


async def test_one_to_which_texts_mean_nothing_is_asked_no_questions() -> None:
    def unlikely(body: Said) -> object:
        return {"scores": [[token, -9.0, []] for token in body["tokens"][body["from"] :]]}

    facts = await examined(ScriptedVoice({**SCRIPT, "/score": unlikely}), quick=True)

    assert (facts.tried, facts.called) == ((), ())
    assert verdict_of(findings_alone(facts)) == "broken"


class Slow:
    """Never answers a chat."""

    async def ask(self, path: str, body: Body) -> Answer:
        if path == CHAT:
            await anyio.sleep_forever()
        return await ScriptedVoice(SCRIPT).ask(path, body)


async def test_it_ends_in_time_and_keeps_what_it_has() -> None:
    facts = await examined(Slow(), quick=True, within_s=0.2)

    assert len(facts.scored) == 2
    assert "the task 'months'" in (facts.cut_short or "")
    assert verdict_of(findings_alone(facts)) == "ok"


class Dying:
    async def ask(self, path: str, body: Body) -> Answer:
        raise Silent("the engine closed the connection")


async def test_an_engine_that_dies_ends_it() -> None:
    with pytest.raises(Silent):
        await examined(Dying())


async def test_an_engine_without_scores_is_examined_all_the_same() -> None:
    less = {path: told for path, told in SCRIPT.items() if path != "/score"}

    facts = await examined(ScriptedVoice(less))

    assert facts.scored == ()
    assert "does not score" in (facts.unscored or "")
    assert len(facts.tried) > 5
