"""Remembers the last prompts, and finds where a new one parts from the one that it is most like.

They are in memory alone, within bounds, and never in a log, a file or a metric. A prompt is compared
with those that the same program, with the same key, has sent to the same model: with the one that it
has most in common with, of two with the one of its own conversation, then the newer one. What counts
as a break of the prefix is `find_break`'s to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localllm.api.parting_views import PartingsView, PartingView
from localllm.gateway.program_partings import ProgramPartings, parting_view
from localllm.gateway.prompt_parts import prompt_parts
from localllm.gateway.requests.infill import PATH as INFILL
from localllm.metrics.live import Live, Phase
from localllm.prefix.outline import BYTES_PER_TOKEN
from localllm.prefix.parting import (
    Parting,
    Parts,
    common_bytes,
    estimated,
    find_break,
    first_difference,
    measured,
)

LEAST_BYTES = 512 * BYTES_PER_TOKEN
"""Of a prompt that is remembered: what is shorter is read in no time."""

_MOST_COMPARED_BYTES = 2 << 20
"""Of one: half a million tokens; comparing more would hold up all streams."""

MOST_PROMPTS = 32
MOST_BYTES = 32 << 20


@dataclass(slots=True, eq=False)
class _Prompt:
    """One that was sent.

    Args:
        sender: Program, key and model.
    """

    sender: tuple[str, str | None, str]
    conversation: str | None
    parts: Parts
    """Nothing once it is forgotten."""

    size_bytes: int
    tokens: int | None = None
    """As its engine counted them; None until it has."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request under way.

    Args:
        earlier: The prompt that it is compared with.
    """

    prompt: _Prompt
    earlier: _Prompt | None
    parting: Parting | None


class LastPrompts:
    """Mutable, and used on the event loop alone; it is told of each request that ends.

    Args:
        wall_clock: Unix seconds.
    """

    def __init__(
        self,
        wall_clock: Callable[[], float] = time.time,
        *,
        most: int = MOST_PROMPTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._prompts: list[_Prompt] = []
        """The oldest first."""

        self._sent: dict[str, _Sent] = {}
        self._programs = ProgramPartings(wall_clock)

    def saw(self, live: Live, model: str, path: str, body: bytes) -> None:
        """Compare a request's prompt with the last ones, and remember it.

        Args:
            model: That is to answer.
            path: Of the engine's endpoint, as that of `prompt_parts`; an editor's infill is no conversation.
            body: For the engine.
        """
        is_long = path != INFILL and len(body) >= LEAST_BYTES
        parts = prompt_parts(path, body) if is_long else ()
        caller = live.caller
        sender = (caller.program_name, caller.key_name, model)
        prompt = _Prompt(sender, caller.conversation, parts, sum(map(len, parts)))
        if not LEAST_BYTES <= prompt.size_bytes <= _MOST_COMPARED_BYTES:
            return
        earlier = self._most_alike(prompt)
        parting = None if earlier is None else find_break(earlier.parts, parts)
        if earlier is not None and parting is not None and earlier.tokens is not None:
            parting = estimated(parting, earlier.tokens, earlier.size_bytes)
        live.parting = _shown(parting)
        self._sent[live.id] = _Sent(prompt, earlier, parting)
        self._remember(prompt, earlier, parting)

    def finished(self, live: Live) -> None:
        """Believe the engine's counts, once it has said them."""
        sent = self._sent.pop(live.id, None)
        if sent is None:
            return
        prompt, tokens = sent.prompt, live.prompt_tokens
        prompt.tokens = tokens
        parting = sent.parting
        if parting is not None and tokens is not None:
            parting = estimated(parting, tokens, prompt.size_bytes)
            if live.cached_tokens is not None:
                before = None if sent.earlier is None else sent.earlier.tokens
                parting = measured(
                    parting, cached=live.cached_tokens, prompt_tokens=tokens, before_tokens=before
                )
        live.parting = _shown(parting)
        if live.phase is not Phase.FAILED:
            self._programs.count(live, prompt.sender[2], live.parting)

    def view(self) -> PartingsView:
        """Show what was seen since the daemon was started."""
        return self._programs.view()

    @property
    def held_bytes(self) -> int:
        return sum(one.size_bytes for one in self._prompts)

    @property
    def held(self) -> int:
        return len(self._prompts)

    def _most_alike(self, prompt: _Prompt) -> _Prompt | None:
        """Find the earlier prompt that has most of it."""
        senders = [one for one in self._prompts if one.sender == prompt.sender]
        known = frozenset(prompt.parts)

        def likeness(place: int) -> tuple[bool, int, bool, int]:
            one = senders[place]
            is_beginning = _is_beginning(one.parts, prompt.parts)
            is_same = one.conversation == prompt.conversation
            return is_beginning, _alike_bytes(one.parts, prompt.parts, known), is_same, place

        best = max(range(len(senders)), key=likeness, default=None)
        return None if best is None else senders[best]

    def _remember(self, prompt: _Prompt, earlier: _Prompt | None, parting: Parting | None) -> None:
        """Keep a prompt, in the place of the one that it goes on from; the oldest go."""
        if earlier is not None and _replaces(prompt, earlier, parting):
            self._forget(earlier)
        self._prompts.append(prompt)
        while len(self._prompts) > self._most or self.held_bytes > self._most_bytes:
            self._forget(self._prompts[0])

    def _forget(self, prompt: _Prompt) -> None:
        self._prompts.remove(prompt)
        prompt.parts = ()


def _replaces(prompt: _Prompt, earlier: _Prompt, parting: Parting | None) -> bool:
    """Whether nobody goes on from the earlier prompt any more: it is the same conversation's."""
    if _is_beginning(earlier.parts, prompt.parts):
        return True
    return parting is not None and earlier.conversation == prompt.conversation


def _is_beginning(one: Sequence[bytes], other: Sequence[bytes]) -> bool:
    return len(one) <= len(other) and first_difference(one, other) is None


def _alike_bytes(one: Parts, other: Parts, of_other: frozenset[bytes]) -> int:
    """Count what two prompts have in common: whole parts, and the beginning of the first that differs."""
    whole = sum(len(part) for part in one if part in of_other)
    place = first_difference(one, other)
    return whole if place is None else whole + common_bytes(one[place], other[place])


def _shown(parting: Parting | None) -> PartingView | None:
    return None if parting is None else parting_view(parting)
