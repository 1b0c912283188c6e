"""One request to be sent, and what came of it. Pure.

Times are seconds since the volley that the request is part of began, by one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shot:
    """A request: when, where to, what."""

    path: str
    """As in /v1/chat/completions."""

    body: bytes
    at_s: float = 0.0
    """When it is due; 0: as soon as there is room."""

    name: str = ""
    """By which whoever sends it knows it again; is not sent."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came over the wire for one shot, unread: reading takes time that measuring does not have."""

    shot: Shot
    sent_at: float
    """When it began to be handed to the system, the connection being open."""

    pieces: tuple[tuple[float, bytes], ...]
    """As they came, with the moment each did: head, body, whatever was in a piece."""

    ended_at: float
    error: str | None = None
    """Why there is no more of it: refused, cut, over time. None: the server ended it."""

    @property
    def size_bytes(self) -> int:
        return sum(len(piece) for _, piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Timings:
    """What the engine's own clock says, where it tells."""

    read_tokens: int
    read_s: float
    written_tokens: int
    written_s: float


@dataclass(frozen=True, slots=True)
class Shown:
    """What one shot came to."""

    shot: Shot
    sent_at: float
    first_byte_at: float | None
    """Of the head; None: nothing came."""

    token_times: tuple[float, ...]
    """When each piece of the answer came, thoughts and calls among them. A stream's piece is a token
    as a rule; fewer than `generated_tokens` where an engine sends two at once or holds one back."""

    ended_at: float
    status: int | None = None
    """Of HTTP."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt; None where the engine does not tell."""

    generated_tokens: int | None = None
    finish: str | None = None
    """As the API says it: length, stop, end_turn."""

    request: str | None = None
    """Its id at the daemon, from the head."""

    timings: Timings | None = None
    error: str | None = None
    """What went wrong; None for an answer that is whole."""

    @property
    def first_token_s(self) -> float | None:
        """From the request to the first piece of its answer."""
        return self.token_times[0] - self.sent_at if self.token_times else None

    @property
    def took_s(self) -> float:
        """From the request to the last byte."""
        return self.ended_at - self.sent_at

    @property
    def read_tokens(self) -> int | None:
        """Of the prompt, what was not in a cache."""
        if self.prompt_tokens is None:
            return None
        return self.prompt_tokens - (self.cached_tokens or 0)

    @property
    def writing_s(self) -> float | None:
        """From the first token to the last one; None with fewer than two."""
        times = self.token_times
        return times[-1] - times[0] if len(times) > 1 else None

    @property
    def token_gap_s(self) -> float | None:
        """From one token to the next, on average: the inter-token latency of one request."""
        writing_s, tokens = self.writing_s, self.tokens
        return writing_s / (tokens - 1) if writing_s is not None and tokens > 1 else None

    @property
    def tokens(self) -> int:
        """Generated: as the engine counts, else the pieces."""
        return len(self.token_times) if self.generated_tokens is None else self.generated_tokens
