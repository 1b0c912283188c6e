"""Tells how an agent's turn went: by how it ended, by what it asked and got, and by its files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from try_agents_programs import Agent
from try_agents_recorder import Exchange
from try_agents_running import Ran

ENDS = {
    "/v1/chat/completions": (b"data: [DONE]", "choices"),
    "/v1/messages": (b"event: message_stop", "content"),
    "/v1/responses": (b"event: response.completed", "output"),
    "/v1/messages/count_tokens": (b"", "input_tokens"),
    "/v1/models": (b"", "data"),
}
"""By path, how a stream ends well, and what a document has."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line of the report."""

    agent: str
    version: str | None
    took_s: float = 0.0
    exit_code: int | None = None
    requests: int = 0
    answers: Mapping[str, Mapping[str, int]] | None = None
    """By endpoint and status, how many; `left` is for those that the agent let go before an answer."""

    said: str = ""
    has_read: bool | None = None
    """None where nothing was to be read."""

    has_written: bool | None = None
    problems: tuple[str, ...] = ()


def told_of(
    agent: Agent, version: str | None, ran: Ran, exchanges: Sequence[Exchange], said: str
) -> Outcome:
    """Look at how it ended, and at what it asked and got.

    Args:
        said: What has to be among its last words.
    """
    problems = [*_problems_of_run(ran, said), *(p for e in exchanges if (p := problem(e)))]
    if not any(one.path == agent.path and one.status == 200 for one in exchanges):
        problems.append(f"it got nothing of {agent.path}")
    return Outcome(
        agent.name,
        version,
        round(ran.took_s, 1),
        ran.code,
        len(exchanges),
        answers_of(exchanges),
        ran.out.strip()[-200:],
        problems=tuple(problems),
    )


def is_agents(one: Exchange) -> bool:
    """Tell it from what `launch` asks before, which does not say what it is."""
    return "user-agent" in one.headers and not one.path.startswith("/api/v1/")


def looked_at(found: Outcome, exchanges: Sequence[Exchange], secret: str, written: str) -> Outcome:
    """Tell whether the loop was closed."""
    has_read = any(secret.encode() in one.body for one in exchanges)
    has_written = written.strip() == secret.upper()
    problems = [*found.problems]
    if not has_read:
        problems.append("what the file says never came back as a tool's result")
    if not has_written:
        problems.append(f"the other file says {written!r}")
    return replace(found, has_read=has_read, has_written=has_written, problems=tuple(problems))


def _problems_of_run(ran: Ran, said: str) -> Iterator[str]:
    words = (ran.err or ran.out)[-500:]
    if ran.code is None:
        yield f"it had not ended after {ran.took_s:.0f} s: {words}"
    elif ran.code != 0:
        yield f"it exited with {ran.code}: {words}"
    if not ran.out.strip():
        yield f"it said nothing: {words}"
    elif said not in ran.out:
        yield f"its last words are not the engine's: {ran.out[-500:]}"


def problem(one: Exchange) -> str | None:
    """Say what is wrong with an answer; None if nothing is, or if it is none of the gateway's."""
    if not one.path.startswith("/v1/"):
        return None
    if one.status is None:
        return None  # the agent left before
    if not 200 <= one.status < 300:
        return f"{one.method} {one.path}: {one.status} {one.answer[:300].decode(errors='replace')}"
    end, key = ENDS.get(one.path, (b"", ""))
    if one.is_whole and not is_in_shape(bytes(one.answer), end, key):
        tail = one.answer[-300:].decode(errors="replace")
        return f"{one.method} {one.path}: an answer without its proper end: {tail}"
    return None


def is_in_shape(answer: bytes, end: bytes, key: str) -> bool:
    if answer.startswith((b"event:", b"data:", b":")):
        return end in answer[-(1 << 18) :]
    with suppress(ValueError):
        return key in json.loads(answer)
    return False


def answers_of(exchanges: Sequence[Exchange]) -> dict[str, dict[str, int]]:
    counts = Counter((f"{one.method} {one.path}", str(one.status or "left")) for one in exchanges)
    told: dict[str, dict[str, int]] = {}
    for (endpoint, status), count in counts.items():
        told.setdefault(endpoint, {})[status] = count
    return told


def line(found: Outcome) -> str:
    verdict = "FAILED" if found.problems else "done"
    asked = ", ".join(
        f"{endpoint} {'+'.join(f'{count} x {status}' for status, count in counts.items())}"
        for endpoint, counts in (found.answers or {}).items()
    )
    loop = "" if found.has_read is None else f"  read {found.has_read}, wrote {found.has_written}"
    first = f"{found.agent:<12} {found.version or '-':<10} {verdict:<7} {found.took_s:6.1f} s{loop}"
    return "\n".join((f"{first}  {asked}", *(f"    {each}" for each in found.problems)))
