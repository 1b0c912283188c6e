"""A capture shows how a request is built; it shows no key, and no text where none is wanted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.metrics.redaction import redact_body, redact_headers

SECRETS = [
    "sk-local-abcdefghijklmnopqrstuvwxyz",
    "sk-ant-api03-aaaaaaaaaaaaaaaaaaaaaaaa",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_11ABCDEFG0123456789",
    "hf_abcdefghijklmnopqrstuvwx",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA0123456789abcdefghijklmnopqrstuvw",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "Bearer 0123456789abcdef",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_in_a_text_is_taken_out_and_the_text_around_it_is_not(secret: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": f"It is {secret} here."}]})

    redacted = json.dumps(redact_body(body.encode(), texts=False))

    assert secret not in redacted
    assert secret[-12:] not in redacted
    assert "It is <redacted>" in redacted
    assert redacted.endswith('here."}]}')


def test_what_a_url_or_an_assignment_holds_is_taken_out() -> None:
    text = "postgres://me:hunter2@db/x?password=swordfish&token=abcd1234 and max_tokens=100"

    redacted = str(redact_body(json.dumps([text]).encode(), texts=False))

    assert "hunter2" not in redacted
    assert "swordfish" not in redacted
    assert "abcd1234" not in redacted
    assert "postgres://<redacted>@db" in redacted


@pytest.mark.parametrize(
    "name", ["api_key", "apiKey", "Authorization", "password", "client_secret", "access_token"]
)
def test_a_member_whose_name_says_that_it_is_secret_is_taken_out(name: str) -> None:
    body = json.dumps({"metadata": {name: "short"}, "max_tokens": 5, "tokens": "3"}).encode()

    assert redact_body(body, texts=False) == {
        "metadata": {name: "<redacted>"},
        "max_tokens": 5,
        "tokens": "3",
    }


def test_code_that_only_talks_of_keys_stays() -> None:
    code = "sk_learn = key_mapping_of_values(token, secret); task-force-something-long-here"

    assert redact_body(json.dumps([code]).encode(), texts=False) == [code]


def test_without_texts_the_build_of_a_request_stays_with_their_lengths() -> None:
    body = {
        "model": "qwen3-8b",
        "stream": True,
        "temperature": 0.2,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "my secret plan"}]},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "read", "arguments": '{"path": "/home/me"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "file"},
        ],
        "tools": [{"type": "function", "function": {"name": "read", "description": "Reads."}}],
    }

    redacted = redact_body(json.dumps(body).encode(), texts=True)

    assert redacted == {
        "model": "qwen3-8b",
        "stream": True,
        "temperature": 0.2,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "<14 characters>"}]},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "read", "arguments": "<20 characters>"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "<4 characters>"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "read", "description": "<6 characters>"}}
        ],
    }


def test_an_image_is_shown_by_its_length() -> None:
    url = "data:image/png;base64," + "A" * 1000

    assert redact_body(json.dumps({"url": url}).encode(), texts=False) == {
        "url": "<data:image/png;base64, 1022 characters>"
    }


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000]
)
def test_what_is_no_json_or_too_deep_is_only_counted(body: bytes) -> None:
    assert redact_body(body, texts=False) == f"<{len(body)} bytes that are no JSON>"


def test_of_headers_only_the_harmless_show_their_values() -> None:
    headers = [
        ("User-Agent", "claude-cli/2.1.330 (external, cli)"),
        ("anthropic-version", "2023-06-01"),
        ("X-Stainless-Timeout", "600"),
        ("Authorization", "Bearer abc"),
        ("x-api-key", "abc"),
        ("Cookie", "a=b"),
        ("X-Anything-Else", "who knows"),
        ("x-session-id", "sk-local-abcdefghijklmnopqrstuvwxyz"),
    ]

    assert redact_headers(headers) == [
        *headers[:3],
        ("Authorization", "<10 characters>"),
        ("x-api-key", "<3 characters>"),
        ("Cookie", "<3 characters>"),
        ("X-Anything-Else", "<9 characters>"),
        ("x-session-id", "<redacted>"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["type", "text"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None)
@given(JSON, st.sampled_from(SECRETS[:8]), st.booleans())
def test_wherever_a_secret_is_it_is_taken_out(around: object, secret: str, texts: bool) -> None:
    body = json.dumps({"a": around, "b": [{"type": secret, secret: secret}], "c": f"x {secret}"})

    assert secret not in json.dumps(redact_body(body.encode(), texts=texts))
