"""Draw what breaks the prefix of agents' prompts. Pure: a view in, lines out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from localllm.api.parting_views import BreakView, PartingsView, ProgramView
from localllm.wording.figures import counted
from localllm.wording.plain import plain

_COLUMNS = 100
_FIRST_TURNS = "let it take two turns first, then ask again"


def render_partings(view: PartingsView, name: str | None, seen: Sequence[str]) -> list[str]:
    """Draw each program: what was cached, where its prefix broke, what can be done.

    Args:
        name: Of the one that was asked for.
        seen: All programs that there are.
    """
    if not view.programs:
        return [_nothing(name, seen)]
    lines: list[str] = []
    for one in view.programs:
        lines += ["", *_program(one)]
    return lines[1:]


def _nothing(name: str | None, seen: Sequence[str]) -> str:
    if name is None:
        return f"no agent has sent a long prompt since the daemon runs: {_FIRST_TURNS}"
    others = f"; seen were: {plain(', '.join(seen))}" if seen else ""
    return f"{plain(name)} has sent no long prompt since the daemon runs: {_FIRST_TURNS}{others}"


def _program(one: ProgramView) -> list[str]:
    lines = [f"{plain(one.program)}: {', '.join(_facts(one))}"]
    if one.headers_removed:
        lines.append(
            f"  taken out of {counted(one.headers_removed, 'prompt')}: Claude Code's billing header, "
            "which changes with every session"
        )
    for place in one.places:
        lines += _place(place)
    if not one.breaks:
        few = one.requests < 2  # noqa: PLR2004  # one has nothing to be compared with
        lines.append(f"  {_FIRST_TURNS}" if few else "  nothing broke its prefix")
    return lines


def _facts(one: ProgramView) -> list[str]:
    facts = [counted(one.requests, "request")]
    if one.prompt_tokens:
        share = one.cached_tokens / one.prompt_tokens
        facts.append(f"{share:.0%} of {one.prompt_tokens:,} prompt tokens were cached")
    if one.breaks:
        facts.append(f"its prefix broke {_times(one.breaks)}")
    return facts


def _place(place: BreakView) -> list[str]:
    lines = _wrapped(f"  {_times(place.times)}: {plain(place.parting.says)}")
    if place.again:
        lines.append(f"    read again because of it: about {counted(place.again, 'token')}")
    return [*lines, *_wrapped(f"    fix: {plain(place.parting.fix)}")]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _COLUMNS, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
