"""How a response is written while an engine streams it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm import errors
from localllm.gateway.translate.chunks import Progress
from localllm.gateway.translate.responses_store import ResponseStore
from tests.unit.gateway.translate.responses_oracle import Breach, Seen, events_of, observe
from tests.unit.gateway.translate.responses_talk import (
    NOW,
    USAGE,
    answered,
    call_delta,
    delta,
    failed,
    fed,
    translate,
)

TOOLS = [
    {"type": "function", "name": "read", "parameters": {"type": "object"}},
    {"type": "custom", "name": "apply_patch"},
    {
        "type": "namespace",
        "name": "multi_agent_v1",
        "tools": [{"type": "function", "name": "close_agent"}],
    },
]


def seen(*chunks: dict[str, Any], **fields: Any) -> Seen:
    return observe(answered(translate(tools=TOOLS, stream=True, **fields), *chunks))


def test_a_text_is_opened_said_and_ended_in_order() -> None:
    saw = seen(delta(role="assistant"), delta(content="Hel"), delta(content="lo"), USAGE)

    assert saw.kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert saw.text() == "Hello"


def test_thoughts_text_and_calls_are_items_in_their_order() -> None:
    saw = seen(
        delta(reasoning_content="Let me "),
        delta(reasoning="see."),
        delta(content="I read."),
        call_delta(0, name="read", call_id="c1"),
        call_delta(0, '{"path"'),
        call_delta(0, ': "a"}'),
        call_delta(1, '{"input": "*** Begin', "apply_patch", "c2"),
        call_delta(1, ' Patch\\n"}'),
        call_delta(2, "{}", "multi_agent_v1__close_agent", "c3"),
        delta("tool_calls"),
        USAGE,
    )

    assert [item["type"] for item in saw.output] == [
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
        "function_call",
    ]
    assert saw.text("reasoning_text") == "Let me see."
    assert saw.calls() == [
        (None, "read", '{"path": "a"}'),
        (None, "apply_patch", "*** Begin Patch\n"),
        ("multi_agent_v1", "close_agent", "{}"),
    ]
    assert [item["call_id"] for item in saw.output[2:]] == ["c1", "c2", "c3"]


def test_the_usage_is_all_there_and_says_what_was_cached() -> None:
    assert seen(delta(content="x"), USAGE).response["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 120,
    }


def test_thoughts_are_counted_by_the_timings_where_the_usage_does_not_tell() -> None:
    def timed(predicted: int, **fields: Any) -> dict[str, Any]:
        return delta(**fields) | {"timings": {"prompt_n": 10, "predicted_n": predicted}}

    thinking, talking = timed(7, reasoning_content="hm"), timed(9, content="so")

    usage = seen(thinking, talking).response["usage"]

    assert usage["output_tokens"] == 9
    assert usage["output_tokens_details"] == {"reasoning_tokens": 7}


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        (None, "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_an_answer_that_was_cut_is_incomplete_and_says_why(
    finish: str | None, status: str, reason: str | None
) -> None:
    saw = seen(delta(reasoning_content="hm"), delta(content="x"), delta(finish), USAGE)

    assert (saw.last, [item["status"] for item in saw.output]) == (status, ["completed", status])
    assert (saw.response["incomplete_details"] or {"reason": None})["reason"] == reason


def test_of_two_calls_that_were_cut_only_the_last_is_incomplete() -> None:
    calls = [call_delta(0, "{}", "read", "c"), call_delta(1, '{"a', "read", "d")]

    saw = seen(*calls, delta("length"))

    assert [item["status"] for item in saw.output] == ["completed", "incomplete"]


def test_a_tool_is_given_what_the_model_wrote_though_it_is_no_json() -> None:
    calls = [call_delta(0, "*** Begin", "apply_patch", "c"), call_delta(0, " Patch")]

    assert seen(*calls).calls() == [(None, "apply_patch", "*** Begin Patch")]


BLANKS = {
    "before a call": [delta(content="\n\n"), call_delta(0, "{}", "read", "c")],
    "between thought and call": [
        delta(reasoning_content="a"),
        delta(content="\n"),
        call_delta(0, "{}", "read", "c"),
    ],
    "between calls": [
        call_delta(0, "{}", "read", "c"),
        delta(content="\n"),
        call_delta(1, "{}", "read", "d"),
    ],
    "alone": [delta(content="\n")],
}


@pytest.mark.parametrize("chunks", BLANKS.values(), ids=BLANKS)
def test_blank_text_makes_no_message(chunks: list[dict[str, Any]]) -> None:
    assert "message" not in {item["type"] for item in seen(*chunks).output}


def test_blanks_at_the_head_of_a_text_stay() -> None:
    head = [delta(content="\n"), delta(content=" "), delta(content="a ")]
    later = [call_delta(0, "{}", "read", "c"), delta(content="b")]

    assert seen(*head, *later).text() == "\n a b"


CALLS = {
    "pieces in turns": (
        [
            call_delta(0, '{"a":', "read", "c"),
            call_delta(1, '{"b":', "read", "d"),
            call_delta(0, "1}"),
            call_delta(1, "2}"),
        ],
        ['{"a":1}', '{"b":2}'],
    ),
    "all numbered 0": (
        [call_delta(0, '{"a":1}', "read", "c"), call_delta(0, '{"b":2}', "read", "d")],
        ['{"a":1}', '{"b":2}'],
    ),
    "the name late": (
        [call_delta(0, '{"a"', None, "c"), call_delta(0, ":1", "read"), call_delta(0, "}")],
        ['{"a":1}'],
    ),
    "no arguments": ([call_delta(0, None, "read", "c")], ["{}"]),
    "empty arguments": ([call_delta(0, "", "read", "c"), call_delta(0, "")], ["{}"]),
    "the id again in every piece": (
        [call_delta(0, "{", "read", "c"), call_delta(0, "}", "read", "c")],
        ["{}"],
    ),
    "no name at all": ([call_delta(0, "{}", None, "c")], []),
    "text after a call": (
        [call_delta(0, '{"a":1}', "read", "c"), delta(content="so")],
        ['{"a":1}'],
    ),
}


@pytest.mark.parametrize(("chunks", "arguments"), CALLS.values(), ids=CALLS)
def test_calls_come_whole_however_an_engine_cuts_them(
    chunks: list[dict[str, Any]], arguments: list[str]
) -> None:
    assert [given for _, _, given in seen(*chunks).calls()] == arguments


def test_a_call_without_an_id_gets_one() -> None:
    call = seen(call_delta(0, "{}", "read")).output[0]

    assert call["call_id"].startswith("call_")


def test_a_refusal_is_a_part_of_its_own() -> None:
    saw = seen(delta(content="Hm."), delta(refusal="I will"), delta(refusal=" not."))

    assert [part["type"] for part in saw.output[0]["content"]] == ["output_text", "refusal"]
    assert saw.output[0]["content"][1]["refusal"] == "I will not."


def test_other_choices_are_not_mixed_in() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}}]}

    assert seen(delta(content="yes"), other).text() == "yes"


def test_reasoning_is_given_sealed_to_who_asks_for_it_and_understood_when_it_comes_back() -> None:
    asked = {"include": ["reasoning.encrypted_content"]}
    item = seen(delta(reasoning_content="Aha ✓"), delta(content="x"), **asked).output[0]
    bare = {"type": "reasoning", "summary": [], "encrypted_content": item["encrypted_content"]}
    text = {"role": "assistant", "content": "x"}

    chat: Any = translate(input=[bare, text, {"role": "user", "content": "?"}]).chat

    assert chat["messages"][0]["reasoning_content"] == "Aha ✓"
    assert seen(delta(reasoning_content="x")).output[0]["encrypted_content"] is None


LIVELY = [
    delta(reasoning_content="a"),
    delta(content="b"),
    call_delta(0, "{", "read", "c"),
    call_delta(0, "}"),
]


def test_life_is_shown_anywhere_by_an_event_that_codex_counts() -> None:
    answering = translate(tools=TOOLS, stream=True).answering
    said = [answering.begin(), answering.life(None), answering.life(Progress(100, 20, 60))]
    for chunk in LIVELY:
        said += [fed(answering, chunk), answering.life(None)]
    said.append(answering.end())

    saw = observe(b"".join(said))

    assert saw.kinds.count("response.in_progress") == 7
    assert saw.calls() == [(None, "read", "{}")]
    shown = events_of(said[2])[0]["prompt_progress"]
    assert shown == {"total": 100, "cache": 20, "processed": 60}


BUSY = errors.Busy("The queue is full.", why="64 wait", fix="wait")
FAILURES = [
    (errors.ContextTooLong("Too long.", why="9 > 8", fix="less"), "context_length_exceeded"),
    (BUSY, "rate_limit_exceeded"),
    (errors.StillLoading("It loads.", why="large", fix="wait"), "rate_limit_exceeded"),
    (errors.EngineGone("Gone.", why="it died", fix="again"), "server_error"),
    (errors.BadRequest("Wrong.", why="no", fix="correct"), "invalid_prompt"),
    (errors.DoesNotFit("Large.", why="32 > 16", fix="smaller"), "invalid_prompt"),
    (errors.StartFailed("Broken.", why="no", fix="logs"), "invalid_prompt"),
    (errors.StartFailed("Broken.", why="no", fix="logs", will_retry=True), "rate_limit_exceeded"),
]


@pytest.mark.parametrize(("error", "code"), FAILURES)
def test_a_failure_has_a_code_by_which_codex_sends_again_what_may_succeed(
    error: errors.LocalLLMError, code: str
) -> None:
    saw = observe(failed(error, delta(content="x")))

    assert (saw.last, saw.response["error"]["code"]) == ("failed", code)
    assert str(error) in saw.response["error"]["message"]
    assert ("try again in 5s" in saw.response["error"]["message"]) == (
        code == "rate_limit_exceeded"
    )


def test_a_failure_keeps_what_was_done_and_leaves_out_what_was_not() -> None:
    saw = observe(failed(BUSY, delta(reasoning_content="a"), delta(content="b")))

    assert [item["type"] for item in saw.response["output"]] == ["reasoning"]


def test_the_whole_document_is_the_one_of_the_last_event() -> None:
    translated = translate(tools=TOOLS)
    stream = answered(translated, *LIVELY, USAGE)

    assert translated.answering.whole() == observe(stream).response
    assert not translated.answering.is_complete
    assert translated.answering.whole()["completed_at"] == int(NOW)


@pytest.mark.parametrize(("stored", "kept"), [(True, 1), (None, 1), (False, 0)])
def test_an_answer_is_kept_for_the_next_request_unless_the_client_says_no(
    stored: bool | None, kept: int
) -> None:
    store = ResponseStore()
    failed(BUSY, delta(content="x"), translated=translate(store.of("a"), store=stored))
    assert len(store) == 0

    answered(translate(store.of("a"), store=stored), delta(content="x"))

    assert len(store) == kept


words = st.text(min_size=1, max_size=30)
pieces = st.lists(
    st.one_of(
        st.tuples(st.just("reasoning_content"), words),
        st.tuples(st.just("content"), words),
        st.tuples(st.just("call"), st.dictionaries(words, words, max_size=2)),
        st.tuples(st.just("patch"), words),
    ),
    max_size=5,
)


def cut(text: str, at: list[int]) -> list[str]:
    places = sorted({place % (len(text) + 1) for place in at})
    return [text[i:j] for i, j in zip([0, *places], [*places, len(text)], strict=True)]


@settings(max_examples=150, deadline=None)
@given(said=pieces, cuts=st.lists(st.integers(0, 200), max_size=8), is_ascii=st.booleans())
def test_the_same_is_heard_however_the_engines_stream_is_cut(
    said: list[tuple[str, Any]], cuts: list[int], is_ascii: bool
) -> None:
    chunks: list[dict[str, Any]] = []
    expected: list[tuple[str | None, str, str]] = []
    for index, (kind, what) in enumerate(said):
        if kind in ("call", "patch"):
            name = "read" if kind == "call" else "apply_patch"
            given_ = json.dumps(what if kind == "call" else {"input": what}, ensure_ascii=is_ascii)
            chunks.append(call_delta(index, None, name, f"c{index}"))
            chunks += [call_delta(index, piece) for piece in cut(given_, cuts)]
            expected.append((None, name, given_ if kind == "call" else what))
        else:
            chunks += [delta(**{kind: piece}) for piece in cut(what, cuts)]

    saw = seen(*chunks, USAGE)

    assert saw.calls() == expected
    for kind, part in (("content", "output_text"), ("reasoning_content", "reasoning_text")):
        whole = "".join(what for k, what in said if k == kind)
        assert "".join(saw.text(part).split()) == "".join(whole.split())


GOOD = answered(translate(tools=TOOLS), *LIVELY, delta(content="x"), USAGE)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_oracle_sees_an_event_that_is_lost_doubled_or_moved(data: st.DataObject) -> None:
    blocks = GOOD.split(b"\n\n")[:-1]
    at = data.draw(st.integers(0, len(blocks) - 1))
    to = data.draw(st.integers(0, len(blocks) - 1).filter(lambda n: n != at))
    broken = data.draw(
        st.sampled_from(
            [
                blocks[:at] + blocks[at + 1 :],
                [*blocks[:at], blocks[at], *blocks[at:]],
                [*blocks[:at], blocks[to], *blocks[at + 1 :]],
            ]
        )
    )
    renumbered = []
    for number, block in enumerate(broken):
        name, text = block.decode().split("\n")
        document = json.loads(text.removeprefix("data: ")) | {"sequence_number": number}
        renumbered.append(f"{name}\ndata: {json.dumps(document)}\n\n")

    if broken == [*blocks[:2], *blocks[1:]]:
        return  # two signs of life are as good as one
    with pytest.raises((Breach, KeyError)):
        observe("".join(renumbered).encode())
