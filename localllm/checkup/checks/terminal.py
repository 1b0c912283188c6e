"""The terminal and the language: what the screen and the tables need to be drawn right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known

_A = Area.TERMINAL
_DRAWS_NOTHING = frozenset({"", "dumb", "unknown"})


def check_terminal(known: Known) -> Iterator[Finding]:
    """Whether the terminal draws what is shown."""
    place = known.place
    found = [*_of_language(place.environment)]
    if place.on_terminal:
        found += _of_terminal(place.environment)
    yield from found
    if not found:
        yield ok("terminal.draws", _A, "The terminal draws what localllm shows.")


def _of_language(environment: Mapping[str, str]) -> Iterator[Finding]:
    """As the C library decides: the first of the three that is set."""
    stated = next((v for n in ("LC_ALL", "LC_CTYPE", "LANG") if (v := environment.get(n))), "")
    plain = stated.upper().replace("-", "")
    if stated and "UTF8" not in plain:
        yield Finding(
            "terminal.language",
            _A,
            Severity.NOTE,
            f"The language is set to {stated}, which is not UTF-8.",
            "frames and letters beyond English are shown as question marks",
            "export LC_ALL=C.UTF-8",
        )


def _of_terminal(environment: Mapping[str, str]) -> Iterator[Finding]:
    term = environment.get("TERM", "")
    if term in _DRAWS_NOTHING:
        yield Finding(
            "terminal.dumb",
            _A,
            Severity.NOTE,
            f"TERM is {term or 'not set'}: the terminal is said to draw nothing.",
            "localllm tui cannot run there",
            "export TERM=xterm-256color",
        )
    elif term.startswith(("screen", "tmux")) and not environment.get("COLORTERM"):
        yield Finding(
            "terminal.colours",
            _A,
            Severity.NOTE,
            "tmux or screen passes 256 colours on, and not all.",
            "localllm tui shows coarser colours",
            "tmux set -as terminal-features ',*:RGB'",
        )
