"""`doctor --agent` finds out what has an agent's prompt read again, on the real engine."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.installation import Installation
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]

RULES = "\n".join(f"Rule {n}: when {n} comes, do thing {n} very well." for n in range(60))
LINE = "x-anthropic-billing-header: cc_version=2.1.330; cch=%s;"


@pytest.fixture
def here(install: Callable[..., Installation]) -> Iterator[Installation]:
    installation = install()
    installation.ok("up", str(smollm2()), "--context", "4096", "--parallel", "1", within_s=120)
    yield installation
    installation.run("down")


def ask(here: Installation, path: str, body: dict[str, Any], program: str) -> Any:
    headers = {"Content-Type": "application/json", "User-Agent": program}
    sent = {"model": "localllm", "max_tokens": 4, **body}
    request = urllib.request.Request(f"{here.url}{path}", json.dumps(sent).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def a_chat(here: Installation, day: str) -> Any:
    head, tail = RULES[: len(RULES) // 3], RULES[len(RULES) // 3 :]
    messages = [("system", f"You help.\n{head}\nToday is {day}.\n{tail}"), ("user", "say hi")]
    said = [{"role": role, "content": content} for role, content in messages]
    return ask(here, "/v1/chat/completions", {"messages": said}, "my-agent/1.0")


def test_a_date_that_changes_is_found_at_the_token_that_the_engine_reads_from(
    here: Installation,
) -> None:
    a_chat(here, "2026-11-29")
    usage = a_chat(here, "2026-11-30")["usage"]

    said = here.ok("doctor", "--agent", "my-agent")
    [program] = here.json("doctor", "--agent")["programs"]

    [place] = program["places"]
    parting = place["parting"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert (place["times"], parting["part"], parting["kind"]) == (1, "message 1 (system)", "date")
    assert (parting["token"], parting["is_exact"]) == (cached, True)
    assert place["again"] > (usage["prompt_tokens"] - cached) * 0.8
    assert f"the prefix differs at token {parting['token']}" in said
    assert "2026-11-29" in said
    assert "2026-11-30" in said


def test_the_line_that_claude_code_changes_breaks_nothing(here: Installation) -> None:
    for session in ("1f2", "9a0"):
        blocks = [{"type": "text", "text": text} for text in (LINE % session, RULES)]
        hi = [{"role": "user", "content": f"say hi to {session}"}]
        body = {"system": blocks, "messages": hi}
        usage = ask(here, "/v1/messages", body, "claude-cli/2.1.330 (external, cli)")["usage"]

    said = here.ok("doctor", "--agent", "claude-code")

    assert usage["cache_read_input_tokens"] > usage["input_tokens"]
    assert "nothing broke its prefix" in said
    assert "taken out of 2 prompts" in said
