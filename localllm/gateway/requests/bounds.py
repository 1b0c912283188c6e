"""The bounds that requests for chats and for texts share. Pure.

`max_tokens` has no bound above: engines end an answer where their context does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localllm.gateway.requests.binding import check_format, check_grammars, check_schema
from localllm.gateway.requests.document import wrong
from localllm.gateway.requests.fields import Generation
from localllm.gateway.requests.private import check_private

MOST_SLOTS = 64
"""As many as a profile may have; counts where no instance is known yet."""

MOST_CONTEXT = 1 << 20
"""Likewise, in tokens."""

MOST_STOPS = 16
MOST_STOP_BYTES = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What depends on who will answer, and on the user's settings.

    Args:
        slots: Of the instance; None: none is known yet.
        context: Tokens that one of its slots holds; likewise.
        takes_tools: Whether the model's chat template knows tools; None where nobody knows. Engines
            leave them out of the prompt where it does not, and say nothing.
        may_send_grammar: Whether clients may send grammars of their own.
        image_hosts: From which images may be fetched; all others have to be in the request.
    """

    slots: int | None = None
    context: int | None = None
    takes_tools: bool | None = None
    may_send_grammar: bool = False
    image_hosts: frozenset[str] = frozenset()

    @property
    def most_answers(self) -> int:
        return self.slots or MOST_SLOTS

    @property
    def most_tokens(self) -> int:
        return self.context or MOST_CONTEXT


def check_generation(document: Mapping[str, Any], asked: Generation, limits: Limits) -> None:
    """Check all that chats and texts have in common.

    Raises:
        BadRequest: A field is beyond its bound; it is named.
    """
    check_private(document)
    for name, count in (("n", asked.n), ("n_cmpl", asked.n_cmpl)):
        if count is not None and count > limits.most_answers:
            why = f"{count} > {limits.most_answers} maximum: the model answers so many at once"
            raise wrong(name, why, "ask for fewer, or several times")
    if asked.stream_options is not None and not asked.stream:
        raise wrong("stream_options", "it is for streams alone", "send stream: true, too")
    for token, bias in (asked.logit_bias or {}).items():
        if bias is True:
            raise wrong(f"logit_bias.{token}", "true is no number", "send one from -100 to 100")
    _check_windows(asked, limits)
    _check_stops(asked.stop)
    check_format(asked.response_format)
    check_schema("json_schema", asked.json_schema)
    check_grammars(document, allowed=limits.may_send_grammar)


def _check_windows(asked: Generation, limits: Limits) -> None:
    """Bound what engines take memory for before they look at the prompt."""
    windows = (
        ("repeat_last_n", asked.repeat_last_n),
        ("dry_penalty_last_n", asked.dry_penalty_last_n),
    )
    for name, tokens in windows:
        if tokens is not None and tokens > limits.most_tokens:
            why = f"{tokens} > {limits.most_tokens} maximum: the context has no more tokens"
            raise wrong(name, why, "send fewer")


def _check_stops(stop: str | list[str] | None) -> None:
    """Bound what is looked for after each token."""
    stops = dict(_named_stops(stop))
    if len(stops) > MOST_STOPS:
        raise wrong("stop", f"{len(stops)} texts > {MOST_STOPS} maximum", "send fewer")
    for param, text in stops.items():
        size = len(text.encode())
        if size > MOST_STOP_BYTES:
            raise wrong(param, f"{size} bytes > {MOST_STOP_BYTES} maximum", "send a shorter one")


def _named_stops(stop: str | list[str] | None) -> Iterator[tuple[str, str]]:
    if isinstance(stop, str):
        yield "stop", stop
    for number, text in enumerate(stop if isinstance(stop, list) else ()):
        yield f"stop[{number}]", text
