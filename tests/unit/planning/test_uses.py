"""What each use asks of a model."""

from __future__ import annotations

import pytest

from localllm.catalog.facts import Use
from localllm.planning.uses import BENCHMARK, NEEDS, use_of


@pytest.mark.parametrize("use", Use)
def test_every_use_has_its_need_and_its_benchmark(use: Use) -> None:
    assert 0 < NEEDS[use].least_context <= NEEDS[use].context
    assert BENCHMARK[use]


def test_an_agent_needs_more_room_and_more_speed_than_a_chat() -> None:
    code, chat = NEEDS[Use.CODE], NEEDS[Use.CHAT]

    assert code.context > code.least_context >= 16_384 > chat.least_context
    assert code.least_tps > chat.least_tps > 0


def test_who_names_no_use_wants_to_chat() -> None:
    assert [use_of(name) for name in (None, "chat", "code")] == [Use.CHAT, Use.CHAT, Use.CODE]


def test_a_use_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="poetry"):
        use_of("poetry")
