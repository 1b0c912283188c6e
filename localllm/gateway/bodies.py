"""Reads a request's body: bounded before it is read, while it is, and after it is unpacked.

aiohttp would unpack bodies by itself, but says nothing useful of those that it cannot, and leaves
the encoding's name in the headers; so it is told not to, and every body is read here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio
import anyio.lowlevel
from aiohttp import web

from localllm.errors import BadRequest, NotReady, TooLarge, TooSlow
from localllm.gateway.unpacking import Unpacking, unpacking_of


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly a body may come; times in seconds."""

    gap_s: float = 30.0
    """Without a byte."""

    whole_s: float = 120.0


PACE = web.AppKey("pace", Pace)
"""Where an application says how patient it is."""


@dataclass(slots=True)
class Memory:
    """What the bodies of all requests take together, from their first byte to the answer's last.

    Mutable.
    """

    most_bytes: Callable[[], int]
    """Now."""

    held_bytes: int = 0


MEMORY = web.AppKey("memory", Memory)
"""Where an application says how much all bodies may take."""

_HELD = web.RequestKey("held", int)

_PIECE_BYTES = 1 << 20
"""Unpacked at once: a few milliseconds, after which others have their turn."""


async def read_body(request: web.Request, most_bytes: int) -> bytes:
    """Read all of a body, unpacked.

    Args:
        most_bytes: As it comes and, if it is compressed, unpacked.

    Raises:
        TooLarge: It is longer. What says so beforehand is not read at all.
        TooSlow: It did not come in time; the connection ends with the answer.
        NotReady: The bodies of other requests take all the memory that there is for them.
        UnknownEncoding: It is compressed in a way that is not known.
        BadRequest: It breaks off, or cannot be unpacked.
    """
    _check_length(request.content_length, most_bytes)
    unpacking = unpacking_of(request.headers.getall("Content-Encoding", []))
    body = bytearray()
    pace = request.app.get(PACE, Pace())
    deadline = anyio.current_time() + pace.whole_s
    while piece := await _next_piece(request, pace, deadline):
        if unpacking is None:
            body += piece
        else:
            await _unpack(unpacking, piece, body, most_bytes)
        _check_length(len(body), most_bytes)
        _hold(request, len(body))
    if unpacking is not None:
        unpacking.check_end()
    return bytes(body)


def let_go(request: web.Request) -> None:
    """Give back what a request's body took; its answer is over."""
    if (memory := request.app.get(MEMORY)) is not None and (held := request.get(_HELD, 0)):
        memory.held_bytes -= held
        request[_HELD] = 0


def _hold(request: web.Request, size: int) -> None:
    memory = request.app.get(MEMORY)
    if memory is None:
        return
    more = size - request.get(_HELD, 0)
    most_bytes = memory.most_bytes()
    if memory.held_bytes + more > most_bytes:
        _end_after_answer(request)
        raise NotReady(
            "There is no memory for this body now.",
            why=f"the bodies of other requests take {memory.held_bytes} bytes, and all may take "
            f"{most_bytes}",
            fix="send it again later",
        )
    memory.held_bytes += more
    request[_HELD] = size


async def _unpack(unpacking: Unpacking, piece: bytes, body: bytearray, most_bytes: int) -> None:
    unpacking.feed(piece)
    while (room := most_bytes + 1 - len(body)) > 0:
        if not (unpacked := unpacking.take(min(room, _PIECE_BYTES))):
            return
        body += unpacked
        await anyio.lowlevel.checkpoint()


async def _next_piece(request: web.Request, pace: Pace, deadline: float) -> bytes:
    try:
        with anyio.fail_after(min(pace.gap_s, deadline - anyio.current_time())):
            return await request.content.readany()
    except TimeoutError as error:
        _end_after_answer(request)
        raise TooSlow(
            "The body came too slowly.",
            why=f"no byte came for {pace.gap_s:g} s, or not all of it within {pace.whole_s:g} s",
            fix="send it again, all at once",
        ) from error
    except web.RequestPayloadError as error:
        _end_after_answer(request)
        raise BadRequest(
            "The body breaks off.", why=_first_line(error), fix="send all of it"
        ) from error


def _end_after_answer(request: web.Request) -> None:
    """What still comes is the rest of a body, and must not be read as another request."""
    request.protocol.close()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["it is not framed as HTTP says"])[0]


def _check_length(length: int | None, most_bytes: int) -> None:
    if length is not None and length > most_bytes:
        raise TooLarge(
            "The body is too large.",
            why=f"it is over the limit of {most_bytes} bytes",
            fix="send less, or raise max_body_mib in config.toml",
        )
