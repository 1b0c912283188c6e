"""How a model is listed, for every client that reads the list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from localllm.catalog.facts import Ability, Use
from localllm.catalog.profile import Profile
from localllm.engines.base import Task
from localllm.gateway.model_entries import Entry, abilities_of, render_entry, render_list
from localllm.user_profiles import Manner
from tests.unit.fit.a_header import smollm2

QWEN = Profile(
    1,
    "qwen",
    "Qwen",
    "mit",
    abilities=(Ability.TOOLS, Ability.REASONING, Ability.VISION),
)
EMBED = Profile(1, "vectors", "Vectors", "mit", uses=(Use.EMBED,))
ENTRY = Entry(
    "qwen", "ready", "Qwen", ("q",), {"fast": Manner(top_k=1)}, ("tools",), context=32_768
)


def test_an_entry_speaks_to_openais_anthropics_and_other_clients_at_once() -> None:
    entry: dict[str, Any] = render_entry(ENTRY, created=1_764_000_000)

    assert (entry["object"], entry["created"], entry["owned_by"]) == (
        "model",
        1_764_000_000,
        "localllm",
    )
    assert (entry["type"], entry["display_name"], entry["created_at"]) == (
        "model",
        "Qwen",
        "2025-11-24T16:00:00Z",
    )
    lengths = ("context_length", "max_model_len", "max_input_tokens")
    assert {entry[name] for name in lengths} == {32_768} == {entry["meta"]["n_ctx"]}
    assert (entry["max_tokens"], entry["max_output_tokens"]) == (8192, 8192)
    assert entry["variants"] == {"qwen:fast": {"top_k": 1}}
    assert (entry["state"], entry["aliases"], entry["abilities"]) == ("ready", ["q"], ["tools"])


def test_what_is_not_known_is_left_out_since_clients_take_null_for_a_number() -> None:
    entry = render_entry(replace(ENTRY, context=None), created=0)

    assert entry["meta"] == {}
    assert None not in entry.values()
    assert "context_length" not in entry


def test_the_list_is_one_page_for_both() -> None:
    entries = [render_entry(replace(ENTRY, id=name), 0) for name in ("a", "b")]

    listed = render_list(entries)
    nothing = render_list([])

    assert (listed["object"], listed["data"]) == ("list", entries)
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "a", "b")
    assert (nothing["data"], nothing["first_id"]) == ([], None)


@pytest.mark.parametrize(
    ("task", "profile", "sees", "abilities"),
    [
        (Task.WRITE, QWEN, False, ["tools", "reasoning"]),
        (Task.WRITE, QWEN, True, ["tools", "reasoning", "vision"]),
        (Task.WRITE, None, True, ["vision"]),
        (Task.WRITE, None, False, []),
        (Task.EMBED, QWEN, False, ["embedding"]),
        (Task.RERANK, None, False, ["rerank"]),
        (None, EMBED, False, ["embedding"]),
        (None, QWEN, False, ["tools", "reasoning"]),
    ],
)
def test_only_what_can_be_asked_for_now_is_an_ability(
    task: Task | None, profile: Profile | None, sees: bool, abilities: list[str]
) -> None:
    assert list(abilities_of(task, profile, None, sees=sees)) == abilities


@pytest.mark.parametrize("key", ["fim_pre_token_id", "prefix_token_id"])
def test_a_file_that_names_its_token_for_a_gap_can_fill_one(key: str) -> None:
    header = replace(smollm2(), metadata={f"tokenizer.ggml.{key}": 7})

    assert list(abilities_of(Task.WRITE, None, header, sees=False)) == ["fim"]
