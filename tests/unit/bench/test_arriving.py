"""What is made of an answer's bytes, however the network cut them."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, strategies

from localllm.bench.arriving import events_of, shown_of
from tests.unit.bench.a_bench import (
    DONE,
    STREAM,
    arrival,
    chunk,
    event,
    piece,
    shown,
    usage,
)


def test_each_piece_of_an_answer_has_the_moment_when_its_last_byte_came() -> None:
    first, second = piece("one"), piece("two")

    seen = shown_of(
        arrival(
            (1.5, STREAM + first[:20]),
            (1.6, first[20:]),
            (1.9, second + usage(12, 4, 2) + DONE),
        )
    )

    assert seen.token_times == (1.6, 1.9)
    assert (seen.first_byte_at, seen.ended_at) == (1.5, 1.9)
    assert seen.first_token_s == pytest.approx(0.6)
    assert (seen.prompt_tokens, seen.cached_tokens, seen.generated_tokens) == (12, 4, 2)
    assert (seen.status, seen.error) == (200, None)


def test_two_tokens_of_one_packet_came_at_one_moment() -> None:
    seen = shown_of(arrival((2.0, STREAM + piece("a") + piece("b") + DONE)))

    assert seen.token_times == (2.0, 2.0)


def test_every_cut_of_a_stream_gives_the_same_tokens() -> None:
    whole = STREAM + piece("one") + piece("two") + usage(12, 4, 2) + DONE
    for cut in range(1, len(whole)):
        seen = shown_of(arrival((1.5, whole[:cut]), (2.5, whole[cut:])))
        assert (len(seen.token_times), seen.prompt_tokens, seen.error) == (2, 12, None), cut
        assert set(seen.token_times) <= {1.5, 2.5}


def test_roles_comments_thoughts_and_calls_are_told_apart() -> None:
    pieces = (
        chunk(b": waiting for the model\n\n"),
        event(choices=[{"delta": {"role": "assistant", "content": None}}]),
        event(choices=[{"delta": {"reasoning_content": "hm"}}]),
        event(choices=[{"delta": {"tool_calls": [{"index": 0}]}}]),
        event(choices=[{"delta": {}, "finish_reason": "length"}]),
        DONE,
    )
    seen = shown_of(arrival((1.0, STREAM), *((2.0 + n, p) for n, p in enumerate(pieces))))

    assert seen.token_times == (4.0, 5.0)
    assert seen.finish == "length"


def test_a_stream_that_breaks_off_is_an_error_whatever_came_of_it() -> None:
    seen = shown_of(arrival((1.5, STREAM + piece("one")), error="reset"))

    assert seen.error == "reset"
    assert shown_of(arrival((1.5, STREAM + piece("one")))).error == "the answer broke off"


def test_an_error_in_a_stream_is_told_in_its_words() -> None:
    seen = shown_of(
        arrival((1.5, STREAM + event(error={"message": "no room;\n  why: it is full"}) + DONE))
    )

    assert seen.error == "no room; why: it is full"


def test_a_refusal_is_an_error_with_what_was_said() -> None:
    body = b'{"error":{"message":"the queue is full"}}'
    head = b"HTTP/1.1 429 Too Many\r\nContent-Length: %d\r\n\r\n" % len(body)

    seen = shown_of(arrival((1.5, head + body)))

    assert seen.status == 429
    assert seen.error == "the queue is full"


def test_nothing_at_all_is_an_error_too() -> None:
    assert shown_of(arrival()).error == "the connection ended before an answer"


def test_a_whole_document_has_one_moment() -> None:
    said = {"usage": {"prompt_tokens": 7, "completion_tokens": 3}, "choices": [{"text": "abc"}]}
    body = msgspec.json.encode(said)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\nx-request-id: req_1\r\n\r\n" % len(body)

    seen = shown_of(arrival((1.5, head + body[:5]), (1.7, body[5:])))

    assert (seen.token_times, seen.generated_tokens, seen.error) == ((1.7,), 3, None)
    assert seen.request == "req_1"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                {"type": "message_start", "message": {"usage": {"input_tokens": 10,
                    "cache_read_input_tokens": 90, "output_tokens": 1}}},
                {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}},
                {"type": "message_delta", "delta": {"stop_reason": "max_tokens"},
                    "usage": {"output_tokens": 5}},
                {"type": "message_stop"},
            ],
            (100, 90, 5, "max_tokens"),
        ),
        (
            [
                {"type": "response.output_text.delta", "delta": "hi"},
                {"type": "response.completed", "response": {"status": "completed", "usage": {
                    "input_tokens": 100, "output_tokens": 5,
                    "input_tokens_details": {"cached_tokens": 90}}}},
            ],
            (100, 90, 5, "completed"),
        ),
    ],
)  # fmt: skip
def test_the_other_apis_are_read_alike(
    events: list[dict[str, object]], expected: tuple[int, int, int, str]
) -> None:
    stream = b"".join(event(**one) for one in events) + chunk(b"")

    seen = shown_of(arrival((1.5, STREAM + stream)))

    counts = (seen.prompt_tokens, seen.cached_tokens, seen.generated_tokens, seen.finish)
    assert counts == expected
    assert (len(seen.token_times), seen.error) == (1, None)


def test_the_gap_between_tokens_is_by_the_engines_count() -> None:
    seen = shown(1.0, 1.5, 3.0, generated_tokens=5)

    assert seen.token_gap_s == pytest.approx(0.5)


def test_what_was_cached_was_not_read() -> None:
    assert shown(1.0, prompt_tokens=100, cached_tokens=90).read_tokens == 10
    assert shown(1.0, prompt_tokens=None).read_tokens is None


def test_heads_that_only_announce_one_are_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

    seen = shown_of(arrival((1.5, early), (1.8, STREAM + piece("a") + DONE)))

    assert (seen.status, seen.token_times, seen.error) == (200, (1.8,), None)


@pytest.mark.parametrize("size", [b"-2", b"+5", b"1_0", b"0x5", b"\xb2", b"f" * 16, b""])
def test_a_chunk_whose_size_is_none_ends_what_can_be_read(size: bytes) -> None:
    odd = size + b"\r\ndata: 1\r\n" + DONE

    seen = shown_of(arrival((1.5, STREAM + piece("a") + odd)))

    assert (len(seen.token_times), seen.error) == (1, "the answer broke off")


def test_a_chunk_that_does_not_end_where_it_says_ends_what_can_be_read() -> None:
    longer = piece("a")[:-2] + b"x\r\n"

    seen = shown_of(arrival((1.5, STREAM + longer + piece("b") + DONE)))

    assert (len(seen.token_times), seen.error) == (1, "the answer broke off")


@pytest.mark.parametrize("status", [b"302 Found", b"204 No Content", b"\xb2 OK", b"abc", b"0"])
def test_what_is_no_answer_is_an_error_whatever_its_status(status: bytes) -> None:
    head = b"HTTP/1.1 %s\r\nContent-Length: \xb2\r\n\r\n" % status

    assert shown_of(arrival((1.5, head))).error is not None


_BITS = strategies.sampled_from(
    [
        STREAM,
        piece("a"),
        DONE,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"\r\n",
        b"-7",
        b"5",
        b"0",
        b"\n",
        b"data: {}",
        b"data: [1]",
        b"data: \xff",
        b";",
        b"\r\n\r\n",
    ]
)


@given(strategies.lists(strategies.one_of(_BITS, strategies.binary(min_size=1, max_size=8))))
def test_whatever_a_server_sends_it_is_read_to_an_end(pieces: list[bytes]) -> None:
    came = arrival(*((float(n), one) for n, one in enumerate(pieces)))

    seen = shown_of(came)

    assert list(seen.token_times) == sorted(seen.token_times)
    assert seen.status == 200 or seen.error is not None
    assert len([*events_of(came)]) >= len(seen.token_times)


@given(
    texts=strategies.lists(strategies.text(min_size=1, max_size=9), max_size=6),
    end=strategies.sampled_from([b"\n", b"\r\n"]),
    data=strategies.data(),
)
def test_neither_the_networks_cuts_nor_those_of_chunks_change_what_was_said(
    texts: list[str], end: bytes, data: strategies.DataObject
) -> None:
    said = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    lines = [b"data: " + msgspec.json.encode(one) + end * 2 for one in said]
    body = b": waiting" + end * 2 + b"".join(lines) + b"data: [DONE]" + end * 2
    chunked = b"".join(map(chunk, _cut(body, data))) + chunk(b"")

    seen = shown_of(arrival(*enumerate(_cut(STREAM + chunked, data))))

    assert (len(seen.token_times), seen.error) == (len(texts), None)


def _cut(whole: bytes, data: strategies.DataObject) -> list[bytes]:
    at = data.draw(strategies.sets(strategies.integers(1, len(whole) - 1), max_size=20))
    bounds = [0, *sorted(at), len(whole)]
    return [whole[a:b] for a, b in pairwise(bounds)]
