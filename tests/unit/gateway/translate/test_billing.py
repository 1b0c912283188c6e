"""The line of Claude Code's that differs from session to session is left out where it stands first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localllm.gateway.translate.anthropic_request import count_tokens_request, messages_request
from localllm.gateway.translate.billing import BILLING, chat_without_billing

LINE = "x-anthropic-billing-header: cc_version=2.1.330; cch=1f2;"
HI = {"role": "user", "content": "hi"}


def of_system(content: object, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": content}


def text(words: str, **more: object) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ([of_system(f"{LINE}\nBe brief."), HI], [of_system("Be brief."), HI]),
        ([of_system(f"{LINE}\nBe brief.", "developer"), HI], [of_system("Be brief.", "developer"), HI]),
        ([of_system(LINE), HI], [HI]),
        ([of_system([text(LINE), text("Be brief.")]), HI], [of_system([text("Be brief.")]), HI]),
        ([of_system([text(f"{LINE}\nBe kind.", x=1)]), HI], [of_system([text("Be kind.", x=1)]), HI]),
        ([of_system([text(LINE)]), HI], [HI]),
    ],
)  # fmt: skip
def test_a_chats_system_message_loses_it(sent: list[object], left: list[object]) -> None:
    body = json.dumps({"model": "m", "messages": sent, "x": 1.50}).encode()

    assert json.loads(chat_without_billing(body)) == {"model": "m", "messages": left, "x": 1.5}


@pytest.mark.parametrize(
    "messages",
    [
        [of_system("Be brief."), HI],
        [of_system(f"Never write\n{LINE}"), HI],
        [of_system(f"{LINE}\nhi", "user")],
        [of_system([text("Be brief."), {"type": "other", "text": LINE}]), HI],
        [of_system(None), of_system(LINE, "assistant")],
        [of_system(LINE)],
    ],
)
def test_any_other_chat_is_passed_on_byte_for_byte(messages: list[object]) -> None:
    body = b'{ "messages" : ' + json.dumps(messages).encode() + b"}"

    assert chat_without_billing(body) is body


def test_all_else_of_a_message_stays() -> None:
    body = json.dumps({"messages": [{**of_system(f"{LINE}\nHo."), "name": "x", "é": 1}, HI]})

    [first, _] = json.loads(chat_without_billing(body.encode()))["messages"]

    assert first == {"role": "system", "content": "Ho.", "name": "x", "é": 1}


MESSAGE = {"max_tokens": 9, "messages": [HI], "system": [text(LINE), text("Be brief.")]}


@pytest.mark.parametrize(
    ("remove", "said", "removed"),
    [(True, "Be brief.", (BILLING,)), (False, f"{LINE}\nBe brief.", ())],
)
def test_a_message_keeps_it_only_if_the_setting_says_so(
    remove: bool, said: str, removed: tuple[str, ...]
) -> None:
    body = json.dumps(MESSAGE).encode()

    translated = messages_request(body, str, remove_billing_header=remove)
    counted = count_tokens_request(body, remove_billing_header=remove)

    assert translated.chat["messages"] == counted["messages"] == [of_system(said), HI]
    assert translated.removed == removed


def test_nothing_is_removed_of_a_message_that_has_no_such_line() -> None:
    body = json.dumps({**MESSAGE, "system": "Be brief."}).encode()

    assert messages_request(body, str).removed == ()


def test_it_is_left_out_of_a_system_message_in_the_conversation_too() -> None:
    later = of_system([text(f"{LINE}\nBe quick.")])
    body = json.dumps({"max_tokens": 9, "messages": [HI, later]}).encode()

    translated = messages_request(body, str)

    assert LINE not in str(translated.chat)
    assert "Be quick." in str(translated.chat)
    assert translated.removed == (BILLING,)
