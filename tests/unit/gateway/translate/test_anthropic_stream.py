"""What a client of the Messages API sees of an engine's stream."""

from __future__ import annotations

import json

import pytest

from localllm import errors as e
from localllm.gateway.translate.anthropic_stream import Thoughts
from localllm.gateway.translate.chunks import Chunk, Progress, parse_chunk
from tests.unit.gateway.translate.messages_reader import (
    MessagesReader,
    Violation,
    a_chunk,
    an_answer,
    call,
    ends,
    read,
    text,
    thought,
    used,
    written,
)


def test_text_thought_and_calls_are_blocks_in_their_order() -> None:
    seen = read(
        an_answer(),
        thought("Let me "),
        thought("see."),
        text("I look"),
        text(" it up."),
        call("", name="look", id_="abc"),
        call('{"at":'),
        call('"x"}'),
        call('{"at":"y"}', name="look", id_="def", index=1),
        ends("tool_calls"),
    )

    assert seen.kinds == ["thinking", "text", "tool_use", "tool_use"]
    assert (seen.thinking, seen.text) == ("Let me see.", "I look it up.")
    assert seen.calls == [("look", '{"at":"x"}'), ("look", '{"at":"y"}')]
    assert [b["id"] for b in seen.blocks[2:]] == ["toolu_abc", "toolu_def"]


def test_each_piece_is_written_as_it_comes() -> None:
    answer = an_answer()
    reader = MessagesReader().read(answer.begin())

    for chunk in [thought("a"), text("b"), call('{"c"', name="f"), call(":1}")]:
        said = answer.feed(chunk)
        assert said
        reader.read(said)

    assert (reader.thinking, reader.text, reader.calls) == ("a", "b", [("f", '{"c":1}')])


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_thought_has_two_names(name: str) -> None:
    assert read(an_answer(), a_chunk(**{name: "hm"})).thinking == "hm"


@pytest.mark.parametrize(
    ("thoughts", "kinds"),
    [
        (Thoughts.ASKED, ["thinking", "text"]),
        (Thoughts.LEFT, ["thinking", "text"]),
        (Thoughts.UNWANTED, ["text"]),
    ],
)
def test_a_client_that_wants_no_thoughts_gets_none(thoughts: Thoughts, kinds: list[str]) -> None:
    seen = read(an_answer(thoughts=thoughts), thought("hm"), text("Yes."), ends("stop"))

    assert (seen.kinds, seen.text) == (kinds, "Yes.")


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("a new one", "end_turn"),
        (None, "end_turn"),
    ],
)
def test_why_it_ends_is_said_in_anthropics_words(finish: str | None, reason: str) -> None:
    seen = read(an_answer(), text("a"), a_chunk(finish), a_chunk())

    assert seen.delta == {"stop_reason": reason, "stop_sequence": None}


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "length", None])
def test_a_turn_with_calls_ends_for_them_whatever_the_engine_says(finish: str | None) -> None:
    seen = read(an_answer(), call("{}", name="f"), a_chunk(finish))

    assert seen.delta is not None
    assert seen.delta["stop_reason"] == "tool_use"


def test_a_call_that_is_cut_short_is_not_to_be_run() -> None:
    seen = read(an_answer(), call('{"path": "/e', name="f"), ends("length"))

    assert seen.delta is not None
    assert seen.delta["stop_reason"] == "max_tokens"


def test_a_refusal_is_said_and_is_the_reason() -> None:
    seen = read(an_answer(), a_chunk(refusal="No."), ends("stop"))

    assert (seen.text, seen.delta) == ("No.", {"stop_reason": "refusal", "stop_sequence": None})


def test_an_answer_without_a_word_has_no_blocks() -> None:
    seen = read(an_answer(), a_chunk(role="assistant", content=""), ends("stop"))

    assert (seen.blocks, seen.delta) == ([], {"stop_reason": "end_turn", "stop_sequence": None})


def test_blank_lines_around_thoughts_and_calls_are_no_blocks_but_stay_in_a_text() -> None:
    seen = read(
        an_answer(),
        thought("\n\n"),
        text("\n"),
        text("\nHere"),
        text("\n"),
        thought("hm"),
        text("\n\n"),
        call("{}", name="f"),
        text("So"),
    )

    assert seen.kinds == ["text", "thinking", "tool_use", "text"]
    assert seen.text == "\n\nHere\nSo"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    answer = an_answer()
    seen = read(answer, call(None, name="f"), ends("tool_calls"))

    assert seen.calls == [("f", "")]
    assert answer.whole()["content"] == [
        {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}}
    ]


def test_pieces_of_two_calls_may_come_mixed() -> None:
    seen = read(
        an_answer(),
        call('{"a":{}', name="f", index=0),
        call('{"b"', name="g", index=1),
        call("}", index=0),
        text("So."),
        call(":2}", index=1),
    )

    assert seen.calls == [("f", '{"a":{}}'), ("g", '{"b":2}')]
    assert seen.text == "So."


def test_a_calls_name_may_come_after_its_first_piece() -> None:
    seen = read(an_answer(), call("{", id_="x"), call("}", name="f"))

    assert seen.calls == [("f", "{}")]


def test_two_calls_never_share_an_id() -> None:
    seen = read(an_answer(), *(call("{}", name="f", id_="call_0", index=i) for i in (0, 1)))

    ids = [block["id"] for block in seen.blocks]
    assert ids[0] == "toolu_call_0"
    assert len(set(ids)) == 2


def test_arguments_that_are_cut_off_come_as_they_are_and_are_none_in_a_whole_message() -> None:
    answer = an_answer()
    seen = read(answer, call('{"a": tru', name="f"), ends("tool_calls"))

    assert seen.calls == [("f", '{"a": tru')]
    assert answer.whole()["content"][0]["input"] == {}  # type: ignore[index]


def test_other_choices_than_the_first_are_left_out() -> None:
    second = parse_chunk(b'{"choices":[{"index":1,"delta":{"content":"no"}}]}')

    assert read(an_answer(), text("yes"), second).text == "yes"


def timed(**timings: int) -> Chunk:
    choice = {"delta": {"content": "a"}}
    return parse_chunk(json.dumps({"choices": [choice], "timings": timings}).encode())


@pytest.mark.parametrize(
    ("chunks", "counts"),
    [
        ([text("a"), used(100, 7, cached=80)], (20, 80, 7)),
        ([timed(cache_n=80, prompt_n=20, predicted_n=7), used(100, 7)], (20, 80, 7)),
        ([timed(cache_n=1, prompt_n=2, predicted_n=3)], (2, 1, 3)),
        ([text("a"), text("b")], (0, 0, 2)),
    ],
    ids=["usage", "usage without the cache", "timings", "neither"],
)
def test_the_usage_is_real_and_tells_what_came_from_the_cache(
    chunks: list[Chunk], counts: tuple[int, int, int]
) -> None:
    answer = an_answer()
    usage = read(answer, *chunks).usage

    assert usage is not None
    cached = "cache_read_input_tokens"
    assert (usage["input_tokens"], usage[cached], usage["output_tokens"]) == counts
    assert usage["cache_creation_input_tokens"] == 0
    assert answer.whole()["usage"] == usage


def test_tokens_of_thoughts_are_told() -> None:
    usage = read(an_answer(), thought("hm"), used(1, 9, reasoning=5)).usage

    assert usage is not None
    assert usage["output_tokens_details"] == {"thinking_tokens": 5}


def test_a_stop_sequence_cuts_the_text_and_stops_the_engine() -> None:
    answer = an_answer(stops=("END",))
    seen = read(answer, text("One. E"), text("N"), text("D and"), text(" more"), ends("stop"))

    assert (seen.text, answer.is_complete) == ("One. ", True)
    assert seen.delta == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_what_might_have_been_a_stop_sequence_is_said_when_it_is_none() -> None:
    answer = an_answer(stops=("END",))
    seen = read(answer, text("TR"), text("EN"), text("DS and E"), call("{}", name="f"), text("EN"))

    assert seen.text == "TR"
    assert answer.is_complete

    seen = read(an_answer(stops=("END",)), text("THE E"), call("{}", name="f"), text("EN"))
    assert [block.get("text") for block in seen.blocks] == ["THE E", None, "EN"]


def test_a_stop_sequence_has_no_thought_or_call_within() -> None:
    seen = read(an_answer(stops=("END",)), text("E"), thought("hm"), text("ND"), ends("stop"))

    assert [block.get("text") for block in seen.blocks] == ["E", None, "ND"]


def test_a_call_after_a_stop_sequence_is_none() -> None:
    part = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    seen = read(an_answer(stops=("END",)), a_chunk(content="a END", tool_calls=[part]))

    assert (seen.kinds, seen.text) == (["text"], "a ")


def test_thoughts_are_not_searched_for_stop_sequences() -> None:
    seen = read(an_answer(stops=("END",)), thought("the END"), text("ok"), ends("stop"))

    assert (seen.thinking, seen.text) == ("the END", "ok")


@pytest.mark.parametrize(
    ("thoughts", "first", "kinds"),
    [
        (Thoughts.ASKED, thought("hm"), ["thinking"]),
        (Thoughts.ASKED, text("hi"), ["thinking", "text"]),
        (Thoughts.ASKED, call("{}", name="f"), ["thinking", "tool_use"]),
        (Thoughts.LEFT, text("hi"), ["text"]),
        (Thoughts.LEFT, thought("hm"), ["text", "thinking"]),
        (Thoughts.UNWANTED, call("{}", name="f"), ["text", "tool_use"]),
    ],
)
def test_life_before_the_first_word_is_an_empty_delta(
    thoughts: Thoughts, first: Chunk, kinds: list[str]
) -> None:
    answer = an_answer(thoughts=thoughts)
    start = answer.begin()
    life = answer.life(Progress(total=10)) + answer.life(None)

    assert (life.count(b"event: ping"), life.count(b"event: content_block_delta")) == (2, 2)
    seen = MessagesReader().read(start + life + answer.feed(first) + answer.end())
    assert seen.kinds == kinds
    documents = answer.whole()["content"]
    assert [b["type"] for b in documents] == [kinds[-1]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", [thought("hm"), text("hi"), call("{", name="f")])
def test_life_goes_on_in_the_open_block(first: Chunk) -> None:
    answer = an_answer()
    stream = answer.begin() + answer.feed(first)
    life = answer.life(None)
    stream += life + answer.end()

    assert b"event: content_block_delta" in life
    assert b"event: content_block_start" not in life
    assert len(MessagesReader().read(stream).blocks) == 1


def test_life_while_a_call_has_no_name_yet_is_a_ping() -> None:
    answer = an_answer()
    stream = answer.begin() + answer.feed(call("{")) + answer.life(None)
    stream += answer.feed(call("}", name="f")) + answer.end()

    assert MessagesReader().read(stream).kinds == ["tool_use"]


@pytest.mark.parametrize("chunks", [[], [text("half a w")]], ids=["before a word", "after"])
def test_a_failure_ends_the_stream_with_an_error_event(chunks: list[Chunk]) -> None:
    answer = an_answer()
    stream = answer.begin() + b"".join(map(answer.feed, chunks))
    stream += answer.fail(e.EngineGone("It ended.", why="it died", fix="again"))

    seen = MessagesReader().read(stream)
    assert seen.is_over
    assert seen.error == {"type": "api_error", "message": "It ended.\n  why: it died\n  fix: again"}


def test_the_whole_message_is_what_the_stream_said() -> None:
    answer = an_answer()
    written(
        answer,
        thought("hm"),
        text("Yes."),
        call('{"a": [1]}', name="f", id_="x"),
        ends("tool_calls"),
        used(10, 5),
    )

    assert answer.whole() == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "a-model",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "bG9jYWxsbG0="},
            {"type": "text", "text": "Yes."},
            {"type": "tool_use", "id": "toolu_x", "name": "f", "input": {"a": [1]}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 5,
        },
    }


def test_an_answer_that_broke_off_unseen_begins_anew() -> None:
    answer = an_answer()
    answer.begin()
    answer.feed(text("lost"))

    assert read(answer, text("found")).text == "found"


@pytest.mark.parametrize(
    "stream",
    [
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        an_answer().begin() + an_answer().begin(),
        written(an_answer(), text("a")).replace(b'"index":0', b'"index":1'),
        written(an_answer(), text("a")).replace(b"event: ", b"", 1),
        written(an_answer(), thought("a")).replace(b"signature_delta", b"text_delta"),
    ],
)
def test_the_oracle_is_strict(stream: bytes) -> None:
    with pytest.raises((Violation, ValueError)):
        MessagesReader().read(stream)
