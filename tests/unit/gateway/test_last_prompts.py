"""A new prompt is compared with the right one of the last, and they stay within their bounds."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from localllm.api.parting_views import ProgramView
from localllm.gateway.last_prompts import LastPrompts
from localllm.gateway.program_partings import MOST_PLACES, MOST_PROGRAMS
from localllm.metrics.callers import Caller
from localllm.metrics.ledger_row import row_of
from localllm.metrics.live import Live
from localllm.metrics.showing import render_detail, render_request
from tests.unit.metrics.a_live import NOON, World
from tests.unit.prefix.an_agents_prompt import HI, MORE, RULES, TOOLS, Said, system

CHAT = "/v1/chat/completions"
ONE = Caller("agent/1.0", "conversation-1")
OTHER = Caller("agent/1.1", "conversation-2")


class Gateway:
    """Sends prompts, and has them answered."""

    def __init__(self, **bounds: int) -> None:
        self.world = World()
        self.prompts = LastPrompts(lambda: NOON, **bounds)
        self.world.requests.when_one_ends.append(self.prompts.finished)

    def begin(
        self,
        text: str,
        *said: Said,
        caller: Caller = ONE,
        model: str = "m",
        tools: Sequence[object] = TOOLS,
    ) -> Live:
        messages = [{"role": r, "content": c} for r, c in (("system", text), *(said or (HI,)))]
        body = json.dumps({"messages": messages, **({"tools": tools} if tools else {})})
        live = self.world.begin(caller=caller)
        self.prompts.saw(live, model, CHAT, body.encode())
        return live

    def ask(
        self,
        text: str,
        *said: Said,
        caller: Caller = ONE,
        cached: int | None = None,
        status: int = 200,
    ) -> Live:
        live = self.begin(text, *said, caller=caller)
        live.used(prompt=1_000, cached=cached, generated=5)
        live.ended(status)
        return live

    def program(self) -> ProgramView:
        [one] = self.prompts.view().programs
        return one


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_a_turn_more_is_no_break(gateway: Gateway) -> None:
    gateway.ask(system("2026-11-29"))

    live = gateway.ask(system("2026-11-29"), *MORE, cached=990)

    assert live.parting is None
    assert gateway.program().breaks == 0


def test_a_changed_date_is_seen_while_the_request_is_under_way_and_told_in_tokens(
    gateway: Gateway,
) -> None:
    gateway.ask(system("2026-11-29"))

    live = gateway.begin(system("2026-11-30"), *MORE)

    assert live.parting is not None
    assert (live.parting.kind, live.parting.part) == ("date", "message 1 (system)")
    assert live.parting.token is not None
    assert live.parting.says.startswith(f"the prefix differs at token {live.parting.token} (about)")


def test_before_the_engine_has_counted_nobody_knows_the_token(gateway: Gateway) -> None:
    gateway.begin(system("2026-11-29"))

    live = gateway.begin(system("2026-11-30"), *MORE)

    assert live.parting is not None
    assert live.parting.token is None


def test_the_engines_cache_tells_the_place_exactly(gateway: Gateway) -> None:
    gateway.ask(system("2026-11-29"))
    live = gateway.begin(system("2026-11-30"), *MORE)
    assert live.parting is not None
    assert live.parting.token is not None
    cached = live.parting.token + 9

    live.used(prompt=1_000, cached=cached)
    live.ended(200)

    assert (live.parting.token, live.parting.is_exact) == (cached, True)
    [place] = gateway.program().places
    assert (place.parting, place.request, place.times, place.last) == (
        live.parting,
        live.id,
        1,
        NOON,
    )


def test_a_prompt_that_was_cached_after_all_did_not_break(gateway: Gateway) -> None:
    gateway.ask(system("2026-11-29"))

    live = gateway.ask(system("2026-11-30"), *MORE, cached=999)

    assert live.parting is None
    assert (gateway.program().breaks, gateway.program().cached_tokens) == (0, 999)


def test_small_requests_between_two_turns_do_not_hide_the_break(gateway: Gateway) -> None:
    gateway.ask(system("2026-11-29"))
    gateway.ask(system("2026-11-29"), ("user", "of another conversation"), caller=OTHER)
    for title in ("Write a title. " * 99, "Summarize it. " * 99):
        gateway.ask(title, ("user", "hi"))

    live = gateway.ask(system("2026-11-30"), *MORE)

    assert live.parting is not None
    assert "2026-11-29" in live.parting.before


def test_a_new_conversation_of_the_same_program_shows_what_changed_too(gateway: Gateway) -> None:
    gateway.ask(system("2026-11-29"), *MORE)

    live = gateway.ask(system("2026-11-30"), ("user", "something else"), caller=OTHER)

    assert live.parting is not None
    assert live.parting.kind == "date"


@pytest.mark.parametrize(
    ("caller", "model"),
    [(Caller("other/1"), "m"), (Caller("agent/1.0", "conversation-1", "laptop"), "m"), (ONE, "n")],
    ids=["another program", "another key", "another model"],
)
def test_nobody_is_compared_with_what_others_sent(
    gateway: Gateway, caller: Caller, model: str
) -> None:
    gateway.ask(system("2026-11-29"))

    assert gateway.begin(system("2026-11-30"), caller=caller, model=model).parting is None


def test_a_change_is_told_once_and_what_goes_on_from_it_is_no_break(gateway: Gateway) -> None:
    gateway.ask(system("2026-11-29"))
    gateway.ask(system("2026-11-30"))

    live = gateway.ask(system("2026-11-30"), *MORE)

    assert live.parting is None
    assert gateway.prompts.held == 1


def test_a_short_prompt_is_not_looked_at(gateway: Gateway) -> None:
    live = gateway.world.begin()

    gateway.prompts.saw(live, "m", CHAT, b'{"messages":[{"role":"user","content":"hi"}]}')
    live.ended(200)

    assert gateway.prompts.held == 0
    assert gateway.prompts.view().programs == []


@pytest.mark.parametrize(
    ("path", "member"),
    [("/v1/embeddings", "input"), ("/v1/rerank", "query"), ("/infill", "input_prefix")],
)
def test_what_is_no_prompt_that_goes_on_is_not_looked_at(
    gateway: Gateway, path: str, member: str
) -> None:
    gateway.prompts.saw(gateway.world.begin(), "m", path, json.dumps({member: RULES * 9}).encode())

    assert gateway.prompts.held == 0


def test_only_so_many_prompts_are_remembered_the_oldest_is_forgotten_first() -> None:
    gateway = Gateway(most=3)
    for name in "ABCD":
        gateway.ask(system("2026-11-29"), caller=Caller(name))

    assert gateway.prompts.held == 3
    assert gateway.ask(system("2026-11-30"), caller=Caller("A")).parting is None
    assert gateway.ask(system("2026-11-30"), caller=Caller("D")).parting is not None


def test_only_so_many_bytes_are_remembered() -> None:
    gateway = Gateway(most_bytes=10_000)
    for name in "ABCD":
        gateway.ask(system("2026-11-29"), caller=Caller(name))

    assert 0 < gateway.prompts.held_bytes <= 10_000

    gateway.ask("x" * 20_000, caller=Caller("A"))

    assert gateway.prompts.held == 0


def test_what_failed_is_not_counted(gateway: Gateway) -> None:
    gateway.ask(system("2026-11-29"))
    gateway.ask(system("2026-11-30"), status=503)

    assert (gateway.program().requests, gateway.program().breaks) == (1, 0)


def test_words_of_prompts_are_neither_in_the_ledger_nor_in_the_list(gateway: Gateway) -> None:
    gateway.ask(system("2026-11-29"))
    live = gateway.ask(system("2026-11-30"))
    now = gateway.world.clock.now

    assert "2026-11-30" in str(render_detail(live, now))
    assert "2026-11-30" not in str(row_of(live, "agent"))
    assert "2026-11-30" not in str(render_request(live, now))


def test_places_are_counted_together_and_bounded(gateway: Gateway) -> None:
    for day in range(10, 14):
        gateway.ask(system(f"2026-11-{day}"), cached=0)

    [place] = gateway.program().places
    assert (place.times, gateway.program().breaks) == (3, 3)
    assert place.again > 3 * 300

    history = [("user", f"{n} " * 200) for n in range(2 * MOST_PLACES)]
    for n in range(len(history) - 3):
        gateway.ask(RULES, *history[:n], ("user", f"changed {n}"), *history[n + 1 :])
        gateway.ask(RULES, *history)

    assert len(gateway.program().places) == MOST_PLACES


def test_only_so_many_programs_are_told_apart(gateway: Gateway) -> None:
    for n in range(MOST_PROGRAMS + 5):
        gateway.ask(RULES * 2, caller=Caller(f"p{n}"))

    programs = gateway.prompts.view().programs

    assert len(programs) == MOST_PROGRAMS
    assert (programs[0].program, programs[0].requests) == ("other", 6)
