"""What a client says of itself is shown only where it is harmless."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.metrics.callers import OTHER, UNKNOWN, caller_of, program_of


@pytest.mark.parametrize(
    ("said", "program"),
    [
        ("claude-cli/2.1.330 (external, cli)", "claude-cli/2.1.330"),
        ("codex_cli_rs/0.169.0 (Linux 6.1; x86_64) dumb", "codex_cli_rs/0.169.0"),
        ("opencode/1.18.33 ai-sdk/provider-utils/4.0.5", "opencode/1.18.33"),
        ("OpenAI/Python 2.9.0", "OpenAI-Python/2.9.0"),
        ("Anthropic/JS 0.70.1", "Anthropic-JS/0.70.1"),
        ("OpenAI/JS", "OpenAI-JS"),
        ("Async/Python", "Async-Python"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0"),
        ("node", "node"),
        ("", UNKNOWN),
        ("   ", UNKNOWN),
        (None, UNKNOWN),
        ("sk-proj-0123456789abcdef", OTHER),
        ("Bearer-abc", OTHER),
        ("Bearer abcdef", "Bearer"),
        ("a" * 33, OTHER),
        ("curl\x00/8", OTHER),
        ("<script>alert(1)</script>", OTHER),
        ("émile/1", OTHER),
        ("python/" + "1" * 400, OTHER),
    ],
)
def test_a_program_is_named_by_its_product_and_by_nothing_else(
    said: str | None, program: str
) -> None:
    assert program_of(said) == program


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_whatever_a_program_says_its_name_is_short_and_plain(said: str) -> None:
    program = program_of(said)

    assert len(program) <= 64
    assert program.isascii()
    assert program.isprintable()
    assert not set(program) & set(" \"'{}<>\\")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("0e5fa1c2-7c61-4a70-9d3b-000000000000", "0e5fa1c2-7c61-4a70-9d3b-000000000000"),
        ("ses_4f2", "ses_4f2"),
        ("sk-ant-api03-secret", None),
        ("a b", None),
        ("x" * 65, None),
        ("", None),
        (None, None),
    ],
)
def test_a_conversation_is_kept_where_it_looks_like_a_number_of_one(
    said: str | None, kept: str | None
) -> None:
    assert caller_of("node", said).conversation == kept


def test_a_programs_name_is_without_its_version() -> None:
    assert caller_of("claude-cli/2.1.330").program_name == "claude-cli"
