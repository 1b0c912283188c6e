"""What a completion may ask, beside what it has in common with a chat."""

from __future__ import annotations

import pytest

from localllm.errors import BadRequest
from localllm.gateway.requests.completions import CompletionHead, check_completion
from tests.unit.gateway.requests.a_request import LIMITS, Document, a_completion, as_body


def refused(document: Document) -> str | None:
    with pytest.raises(BadRequest) as caught:
        check_completion(as_body(document), LIMITS)
    return caught.value.param


def allowed(**more: object) -> CompletionHead:
    return check_completion(as_body(a_completion(**more)), LIMITS)


@pytest.mark.parametrize(
    "prompt",
    [
        "def f(",
        ["def f("],
        ["a", "b", "c"],
        [1, 2, 3],
        [[1, 2], [3]],
        ["a"] * 128,
        [0, 2**31 - 1],
    ],
)
def test_a_prompt_is_a_text_or_tokens_or_several_of_them(prompt: object) -> None:
    allowed(prompt=prompt)


@pytest.mark.parametrize(
    ("param", "document"),
    [
        ("prompt", {"model": "small"}),
        ("prompt", a_completion(prompt=[])),
        ("prompt", a_completion(prompt=7)),
        ("prompt", a_completion(prompt={"prompt_string": "a", "multimodal_data": ["b"]})),
        ("prompt[0]", a_completion(prompt=[{"prompt_string": "a"}])),
        ("prompt[1]", a_completion(prompt=[1, -1])),
        ("prompt[0][1]", a_completion(prompt=[[1, 2**31]])),
        ("prompt", a_completion(prompt=["a"] * 129)),
        ("prompt", a_completion(prompt=["a"] * 65, n=2)),
        ("n", a_completion(n=5)),
        ("best_of", a_completion(best_of=2)),
        ("logprobs", a_completion(logprobs=21)),
        ("logprobs", a_completion(logprobs=True)),
        ("echo", a_completion(echo="yes")),
        ("suffix", a_completion(suffix=7)),
        ("prompt", a_completion(suffix="x", prompt=["a", "b"])),
        ("prompt", a_completion(suffix="x", prompt=[1, 2])),
        ("n", a_completion(suffix="x", n=2)),
        ("echo", a_completion(echo=True)),
        ("response_format", a_completion(response_format={"type": "json_object"})),
        ("grammar", a_completion(grammar='root ::= "x"')),
        ("chat_format", a_completion(chat_format=9999)),
        ("stream_options", a_completion(stream_options={"include_usage": True})),
    ],
)
def test_what_is_wrong_is_named(param: str, document: Document) -> None:
    assert refused(document) == param


def test_the_head_says_what_the_gateway_has_to_know() -> None:
    head = allowed(
        stream=True, stream_options={"include_usage": True}, n=2, max_tokens=5, suffix=""
    )

    assert head == CompletionHead(
        model="small",
        stream=True,
        include_usage=True,
        is_infill=False,
        body=head.body,
    )
    assert allowed(suffix="return x").is_infill


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"prompt": "a", "top_p": 1.0}', b'{"prompt": "a", "top_p": 1.0}'),
        (b'{"prompt": "a", "suffix": null, "best_of": 1}', b'{"prompt":"a"}'),
        (b'{"prompt": "a", "suffix": "", "best_of": null}', b'{"prompt":"a"}'),
        (b'{"prompt": "a", "suffix": "b"}', b'{"prompt": "a", "suffix": "b"}'),
    ],
)
def test_fields_that_say_nothing_and_that_an_engine_refuses_are_not_sent(
    body: bytes, sent: bytes
) -> None:
    assert check_completion(body, LIMITS).body == sent
