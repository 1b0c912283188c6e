"""Whatever an engine streams, and however it is cut, the client reads the same message."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.gateway.translate.anthropic_stream import MessagesAnswer
from localllm.gateway.translate.chunks import parse_chunk
from localllm.gateway.translate.sse import EventReader
from localllm.gateway.translate.stop_sequences import StopScan
from tests.unit.gateway.translate.messages_reader import MessagesReader, an_answer

Piece = dict[str, Any]
"""A delta of a chat completion."""

WORDS = st.text("aé \n😀", min_size=1, max_size=12).filter(str.strip)
ARGUMENTS = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3)
SAID = st.tuples(st.sampled_from(["content", "reasoning_content"]), WORDS)
CALLED = st.tuples(st.just("call"), ARGUMENTS.map(json.dumps))
CALM = settings(deadline=None, max_examples=60)


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    borders = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=5)))
    return [text[a:b] for a, b in zip([0, *borders], [*borders, len(text)], strict=True)]


def opening(index: int) -> Piece:
    """Of a call: the piece that names it."""
    function = {"name": f"f{index}", "arguments": ""}
    return {"tool_calls": [{"index": index, "id": f"id{index}", "function": function}]}


def more(index: int, arguments: str) -> Piece:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


def framed(pieces: list[Piece]) -> bytes:
    """What an engine sends."""
    choices = [{"choices": [{"index": 0, "delta": piece}]} for piece in pieces]
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in choices)


def run(data: st.DataObject, answer: MessagesAnswer, pieces: list[Piece]) -> MessagesReader:
    """Have a stream translated that comes in pieces of any size, with signs of life in between."""
    stream, reader, seen = framed(pieces), EventReader(), MessagesReader()
    seen.read(answer.begin())
    while stream and not answer.is_complete:
        size = data.draw(st.integers(1, 400))
        for event in reader.feed(stream[:size]):
            seen.read(answer.feed(parse_chunk(event)))
        stream = stream[size:]
        if data.draw(st.booleans()):
            seen.read(answer.life(None))
    return seen.read(answer.end())


def spoken(seen: MessagesReader) -> list[tuple[str, str]]:
    """The blocks, without those that life alone has opened."""
    names = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}
    blocks = [(b["type"], b[names[b["type"]]]) for b in seen.blocks]
    return [(kind, said) for kind, said in blocks if said or kind == "tool_use"]


@CALM
@given(st.data(), st.lists(SAID | CALLED, max_size=6))
def test_text_thoughts_and_calls_come_through(
    data: st.DataObject, segments: list[tuple[str, str]]
) -> None:
    pieces: list[Piece] = []
    for index, (kind, said) in enumerate(segments):
        parts = data.draw(cut(said))
        if kind == "call":
            pieces += [opening(index), *(more(index, part) for part in parts)]
        else:
            pieces += [{kind: part} for part in parts]
    answer = an_answer()

    seen = run(data, answer, pieces)

    names = {"content": "text", "reasoning_content": "thinking", "call": "tool_use"}
    expected: list[tuple[str, str]] = []
    for kind, group in groupby(segments, lambda segment: segment[0]):
        said_here = [said for _, said in group]
        together = said_here if kind == "call" else ["".join(said_here)]
        expected += [(names[kind], said) for said in together]
    assert spoken(seen) == expected
    whole: Any = answer.whole()["content"]
    assert [b["type"] for b in whole] == [kind for kind, _ in expected]
    assert [json.dumps(b["input"]) for b in whole if b["type"] == "tool_use"] == [
        said for kind, said in expected if kind == "tool_use"
    ]


@CALM
@given(st.data(), st.lists(ARGUMENTS.map(json.dumps), min_size=1, max_size=3))
def test_calls_come_through_however_their_pieces_are_mixed(
    data: st.DataObject, arguments: list[str]
) -> None:
    left = {
        index: [opening(index), *(more(index, part) for part in data.draw(cut(text)))]
        for index, text in enumerate(arguments)
    }
    pieces: list[Piece] = []
    while left:
        index = data.draw(st.sampled_from(sorted(left)))
        pieces.append(left[index].pop(0))
        if not left[index]:
            del left[index]

    seen = run(data, an_answer(), pieces)

    assert sorted(seen.calls) == [(f"f{i}", text) for i, text in enumerate(arguments)]


@CALM
@given(
    st.data(),
    st.text("ab ", max_size=20),
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=2),
)
def test_a_stop_sequence_cuts_wherever_the_pieces_end(
    data: st.DataObject, text: str, stops: list[str]
) -> None:
    answer = an_answer(stops=tuple(stops))
    seen = run(data, answer, [{"content": part} for part in data.draw(cut(text))])

    whole = StopScan(stops)
    said = whole.feed(text) + whole.rest()
    assert seen.text.strip() == said.strip()
    assert seen.delta is not None
    assert seen.delta["stop_sequence"] == whole.met
    assert answer.is_complete is (whole.met is not None)
