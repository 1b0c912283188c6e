"""What a request to rank documents may ask, and its answer: sorted, cut and complete."""

from __future__ import annotations

import json

import pytest

from localllm.errors import BadRequest, EngineGone
from localllm.gateway.requests.rerank import check_rerank, rerank_answer
from tests.unit.gateway.requests.a_request import Document, as_body


def a_request(**more: object) -> Document:
    return {"model": "r", "query": "a pet", "documents": ["a car", "a cat", "a dog"], **more}


def an_answer(*scores: float | None, **more: object) -> bytes:
    results = [{"index": n, "relevance_score": score} for n, score in enumerate(scores)]
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    return as_body({"model": "small", "usage": usage, "results": results, **more})


def ranked(answer: bytes, **more: object) -> Document:
    return json.loads(rerank_answer(answer, check_rerank(as_body(a_request(**more)))))


@pytest.mark.parametrize(
    ("param", "document"),
    [
        ("query", {"documents": ["a"]}),
        ("query", a_request(query="")),
        ("query", a_request(query=["a"])),
        ("documents", {"query": "a"}),
        ("documents", a_request(documents=[])),
        ("documents", a_request(documents="a")),
        ("documents[1]", a_request(documents=["a", 1])),
        ("documents[0].text", a_request(documents=[{"title": "a"}])),
        ("documents[0].text", a_request(documents=[{"text": 7}])),
        ("documents", a_request(documents=["a"] * 2049)),
        ("top_n", a_request(top_n=0)),
        ("return_documents", a_request(return_documents="yes")),
        ("texts", a_request(texts=["a"])),
        ("id_slot", a_request(id_slot=0)),
    ],
)
def test_what_is_wrong_is_named(param: str, document: Document) -> None:
    with pytest.raises(BadRequest) as caught:
        check_rerank(as_body(document))

    assert caught.value.param == param


def test_as_many_documents_as_allowed_are_allowed() -> None:
    assert len(check_rerank(as_body(a_request(documents=["a"] * 2048))).texts) == 2048


def test_documents_are_sent_as_texts_and_all_else_as_it_was_written() -> None:
    body = b'{"query": "a", "own": 1.50, "documents": [{"text": "b", "id": 7}, "c"]}'

    assert check_rerank(body).body == b'{"query":"a","own":1.50,"documents":["b","c"]}'


def test_a_request_whose_documents_are_texts_is_sent_as_it_is() -> None:
    body = as_body(a_request())

    assert check_rerank(body).body is body


def test_an_answer_is_sorted_with_the_best_first() -> None:
    answer = ranked(an_answer(0.1, 0.9, 0.5))

    assert answer["results"] == [
        {"index": 1, "relevance_score": 0.9},
        {"index": 2, "relevance_score": 0.5},
        {"index": 0, "relevance_score": 0.1},
    ]
    assert answer["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    assert (answer["model"], answer["object"]) == ("small", "list")


def test_an_answer_is_cut_and_has_its_documents_if_that_was_asked_for() -> None:
    answer = ranked(an_answer(0.1, 0.9, 0.5), top_n=1, return_documents=True)

    assert answer["results"] == [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "a cat"}}
    ]


def test_what_other_engines_call_a_score_or_leave_out_is_understood() -> None:
    answer = as_body({"results": [{"index": 0}, {"index": 1, "score": -2.5}]})

    assert ranked(answer) == {
        "model": "r",
        "object": "list",
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        "results": [{"index": 1, "relevance_score": -2.5}, {"index": 0, "relevance_score": None}],
    }


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"results":7}', as_body({"results": [{"index": 3, "score": 1}]})]
)
def test_an_answer_that_is_none_is_the_engines_fault(answer: bytes) -> None:
    with pytest.raises(EngineGone):
        ranked(answer)
