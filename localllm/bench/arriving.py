"""Reads what came over the wire, afterwards: head, chunks, events. Pure.

Of HTTP only what a server does with a request that asks it to close: a head, and a body that is
chunked, has a length, or ends with the connection. Understands the streams and documents of all
endpoints under /v1.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import accumulate

from localllm.bench.answers import Answer, read_document, read_events
from localllm.bench.shots import Arrival, Shown

_HEAD_END, _LINE_END = b"\r\n\r\n", b"\r\n"
_REQUEST_ID = "x-request-id"
_STATUS, _LENGTH = re.compile(r"[0-9]{3}"), re.compile(r"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
"""`int` takes signs, underscores and the digits of other scripts too."""


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    """0: there is none."""

    headers: Mapping[str, str]
    ends: int
    """Where the body begins."""


@dataclass(frozen=True, slots=True)
class _Body:
    """A body, each part of it with its place in what came."""

    parts: Sequence[tuple[int, bytes]]
    """Where a part ends, counted in bytes from the beginning of the head."""

    is_whole: bool


def shown_of(arrival: Arrival) -> Shown:
    """Read what came for one shot."""
    whole = b"".join(piece for _, piece in arrival.pieces)
    bounds = [*accumulate(len(piece) for _, piece in arrival.pieces)]
    head = _parse_head(whole)
    if head is None:
        return _nothing(arrival)
    body = _parse_body(whole, head)
    is_stream = head.headers.get("content-type", "").startswith("text/event-stream")
    answer = (
        read_events(_events(body.parts)) if is_stream else read_document(body.parts, head.status)
    )
    return Shown(
        shot=arrival.shot,
        sent_at=arrival.sent_at,
        first_byte_at=arrival.pieces[0][0],
        token_times=tuple(arrival.pieces[bisect_left(bounds, at)][0] for at in answer.tokens_at),
        ended_at=arrival.pieces[-1][0] if body.is_whole else arrival.ended_at,
        status=head.status,
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.cached_tokens,
        generated_tokens=answer.generated_tokens,
        finish=answer.finish,
        request=head.headers.get(_REQUEST_ID),
        timings=answer.timings,
        error=_wrong(arrival, head.status, body, answer),
    )


def events_of(arrival: Arrival) -> Iterator[bytes]:
    """Give the data of each event of a stream that came."""
    whole = b"".join(piece for _, piece in arrival.pieces)
    head = _parse_head(whole)
    parts = () if head is None else _parse_body(whole, head).parts
    return (data for _, data in _events(parts))


def _nothing(arrival: Arrival) -> Shown:
    first = arrival.pieces[0][0] if arrival.pieces else None
    said = arrival.error or "the connection ended before an answer"
    return Shown(arrival.shot, arrival.sent_at, first, (), arrival.ended_at, error=said)


def _wrong(arrival: Arrival, status: int, body: _Body, answer: Answer) -> str | None:
    if answer.error is not None:
        return answer.error
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return f"status {status}"
    if arrival.error is not None:
        return arrival.error
    return None if body.is_whole and answer.is_whole else "the answer broke off"


def _parse_head(whole: bytes) -> _Head | None:
    """Read the head of the answer itself, behind those that only announce one (1xx); None if it is not all here."""
    at = 0
    while (end := whole.find(_HEAD_END, at)) >= 0:
        first, *lines = whole[at:end].decode("latin-1").split("\r\n")
        code = first.split(" ")[1:2]
        status = int(code[0]) if code and _STATUS.fullmatch(code[0]) else 0
        at = end + len(_HEAD_END)
        if not HTTPStatus.CONTINUE <= status < HTTPStatus.OK:
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            return _Head(status, headers, at)
    return None


def _parse_body(whole: bytes, head: _Head) -> _Body:
    if "chunked" in head.headers.get("transfer-encoding", ""):
        parts = [*_chunks(whole, head.ends)]
        return _Body([part for part in parts if part[1]], bool(parts) and not parts[-1][1])
    body = whole[head.ends :]
    length = head.headers.get("content-length", "")
    is_whole = not _LENGTH.fullmatch(length) or len(body) >= int(length)
    return _Body([(len(whole), body)] if body else [], is_whole)


def _chunks(whole: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Take them apart; the last one of a whole body is empty, a half one is left out."""
    while (line := whole.find(_LINE_END, at)) >= 0:
        said = whole[at:line].partition(b";")[0].strip()
        begin = line + len(_LINE_END)
        ends = begin + int(said, 16) if _CHUNK_SIZE.fullmatch(said) else len(whole) + 1
        if ends > len(whole):
            return
        yield ends, whole[begin:ends]
        if ends == begin or whole[ends : ends + len(_LINE_END)] != _LINE_END:
            return
        at = ends + len(_LINE_END)


def _events(parts: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Give the data of each event, with the place where the part ends that its last byte is in."""
    carry = b""
    for ends, part in parts:
        *lines, carry = (carry + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield ends, line[len(b"data:") :].strip()
