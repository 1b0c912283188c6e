"""What a request for embeddings may ask, and its answer in the form that was asked for."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from localllm.errors import BadRequest, EngineGone
from localllm.gateway.requests.embeddings import (
    EmbeddingsHead,
    check_embeddings,
    embeddings_answer,
)
from tests.unit.gateway.requests.a_request import Document, as_body

VECTOR = [0.5, -1.25, 3.0]
PACKED = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()
USAGE = {"prompt_tokens": 5, "total_tokens": 5}


def an_answer(*vectors: object, **more: object) -> bytes:
    data = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(vectors)]
    return as_body({"object": "list", "data": data, "model": "small", "usage": USAGE, **more})


def a_head(*, is_base64: bool = False, dimensions: int | None = None) -> EmbeddingsHead:
    return EmbeddingsHead("small", is_base64, dimensions, b"")


@pytest.mark.parametrize(
    "given",
    [
        "a text",
        ["a", "b"],
        [1, 2, 3],
        [[1, 2], [3]],
        ["a"] * 2048,
        [7] * 5000,
    ],
)
def test_an_input_is_a_text_or_tokens_or_several_of_them(given: object) -> None:
    body = as_body({"input": given})

    assert check_embeddings(body).body == body


@pytest.mark.parametrize(
    ("param", "document"),
    [
        ("input", {"model": "small"}),
        ("input", {"input": []}),
        ("input", {"input": ""}),
        ("input[1]", {"input": ["a", ""]}),
        ("input[0]", {"input": [[]]}),
        ("input[1]", {"input": ["a", 1]}),
        ("input[1]", {"input": [1, "a"]}),
        ("input[0]", {"input": [{"prompt_string": "a", "multimodal_data": []}]}),
        ("input[0][0]", {"input": [["a"]]}),
        ("input[1]", {"input": [1, -1]}),
        ("input", {"input": ["a"] * 2049}),
        ("encoding_format", {"input": "a", "encoding_format": "hex"}),
        ("encoding_format", {"input": "a", "encoding_format": 1}),
        ("dimensions", {"input": "a", "dimensions": 0}),
        ("embd_normalize", {"input": "a", "embd_normalize": 99}),
        ("id_slot", {"input": "a", "id_slot": 0}),
    ],
)
def test_what_is_wrong_is_named(param: str, document: Document) -> None:
    with pytest.raises(BadRequest) as caught:
        check_embeddings(as_body(document))

    assert caught.value.param == param


def test_the_head_says_what_the_gateway_has_to_know() -> None:
    document = {"model": "e", "input": ["a"], "encoding_format": "base64", "dimensions": 3}

    body = as_body(document)
    assert check_embeddings(body) == EmbeddingsHead("e", True, 3, body)


def test_a_format_of_null_is_not_sent_since_an_engine_refuses_it() -> None:
    body = b'{"input": "a", "encoding_format": null, "own": 1.50}'

    assert check_embeddings(body).body == b'{"input":"a","own":1.50}'


@pytest.mark.parametrize("is_base64", [True, False])
def test_an_answer_that_is_as_asked_is_passed_on_as_it_is(*, is_base64: bool) -> None:
    answer = an_answer(PACKED if is_base64 else VECTOR)

    assert embeddings_answer(answer, a_head(is_base64=is_base64, dimensions=3)) is answer


def test_numbers_are_packed_where_the_engine_did_not() -> None:
    answer = json.loads(embeddings_answer(an_answer(VECTOR, VECTOR), a_head(is_base64=True)))

    assert [vector["embedding"] for vector in answer["data"]] == [PACKED, PACKED]
    assert [vector["index"] for vector in answer["data"]] == [0, 1]


def test_numbers_are_unpacked_where_the_client_did_not_ask_for_base64() -> None:
    answer = json.loads(embeddings_answer(an_answer(PACKED), a_head()))

    assert answer["data"][0]["embedding"] == VECTOR


def test_usage_is_there_although_the_engine_says_half_of_it() -> None:
    answer = an_answer(VECTOR, usage={"total_tokens": 7})

    assert json.loads(embeddings_answer(answer, a_head()))["usage"] == {
        "prompt_tokens": 7,
        "total_tokens": 7,
    }


@pytest.mark.parametrize("vector", [VECTOR, PACKED])
def test_dimensions_that_the_engine_passed_over_are_an_error(vector: object) -> None:
    with pytest.raises(BadRequest, match="256") as caught:
        embeddings_answer(an_answer(vector), a_head(dimensions=256))

    assert caught.value.param == "dimensions"
    assert "3" in caught.value.why


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"data":7}', b'{"data":[{"embedding":[[1.0]]}]}'])
def test_an_answer_that_is_none_is_the_engines_fault(answer: bytes) -> None:
    with pytest.raises(EngineGone):
        embeddings_answer(answer, a_head())
