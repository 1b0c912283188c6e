"""The environment of an agent, as a shell sets it."""

from __future__ import annotations

from localllm.wording.exports import exports, settings_head


def test_variables_are_quoted_and_the_key_is_left_for_the_shell() -> None:
    said = exports({"A": "x y; rm -rf ~", "KEY": "$LOCALLLM_API_KEY", "B": "\x1b"})

    assert said == [
        "export A='x y; rm -rf ~'",
        'export KEY="$LOCALLLM_API_KEY"',
        "export B='?'",
    ]


def test_the_head_of_settings_is_what_is_served_where_and_how_much_it_holds() -> None:
    said = settings_head("m\x07", "http://h:1", 32768)

    assert said == "m? at http://h:1, 32,768 tokens of context"
