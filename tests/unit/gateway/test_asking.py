"""What counts of a request for who serves it and when."""

from __future__ import annotations

import base64
import json

import pytest
from multidict import CIMultiDict

from localllm.gateway.asking import asking_of, client_of, conversation_of, prompt_tokens
from localllm.supervisor.resolving import Resolved


def client(address: str = "127.0.0.1", key: str | None = None, **headers: str) -> str:
    named = CIMultiDict({n.replace("_", "-"): v for n, v in headers.items()})
    return client_of(named, conversation_of(named, b"{}"), key=key, address=address)


@pytest.mark.parametrize("name", ["X-Session-Id", "x-session-affinity", "X-Claude-Code-Session-Id"])
def test_two_conversations_of_one_program_are_two_clients(name: str) -> None:
    key = name.replace("-", "_")
    one, again = (client(**{key: "1", "User_Agent": ua}) for ua in ("a", "b"))

    assert one == again
    assert client(**{key: "2"}) != one


def test_without_a_conversation_key_program_and_address_tell_clients_apart() -> None:
    plain = client(User_Agent="curl")

    assert client(User_Agent="curl") == plain
    others = [
        client(User_Agent="python"),
        client(User_Agent="curl", key="1"),
        client("10.0.0.7", User_Agent="curl"),
    ]
    assert len({plain, *others}) == 4


def test_a_conversation_may_be_named_in_the_body_and_the_header_comes_first() -> None:
    body = json.dumps({"prompt_cache_key": "abc", "input": "hi"}).encode()

    assert conversation_of(CIMultiDict(), body) == "abc"
    assert conversation_of(CIMultiDict({"x-session-id": "7"}), body) == "7"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"input": "prompt_cache_key"}',
        b'{"prompt_cache_key": 7}',
        b'{"prompt_cache_key": "',
        b'{"prompt_cache_key": ""}',
    ],
)
def test_a_body_that_names_none_is_of_no_conversation(body: bytes) -> None:
    assert conversation_of(CIMultiDict(), body) is None


def test_a_prompts_length_is_told_by_its_bytes() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 100  # 1000 words, 1001 tokens or so
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()

    assert 1000 <= prompt_tokens(body) <= 1500


def test_an_images_bytes_are_no_prompt() -> None:
    image = base64.b64encode(bytes(300_000)).decode()
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
    body = json.dumps({"messages": [{"role": "user", "content": [url, url]}]}).encode()

    assert prompt_tokens(body) < 100


def test_all_of_it_together() -> None:
    asking = asking_of(
        Resolved("m"), b"x" * 350, CIMultiDict({"x-session-id": "7"}), key="k", address="127.0.0.1"
    )

    assert (asking.model, asking.client, asking.tokens) == ("m", "k conversation 7", 100)
    assert asking.conversation == "7"
