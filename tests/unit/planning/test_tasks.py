"""What a model is for: by its header, and by the user's words over it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.engines.base import Task
from localllm.errors import ConfigError
from localllm.fit.plan import Wish
from localllm.formats.header import Header
from localllm.planning.tasks import for_texts, pooling_of, task_of
from tests.unit.fit.a_header import smollm2, with_keys

WRITER = smollm2()
EMBEDDER = with_keys(WRITER, pooling_type=3)
RERANKER = with_keys(WRITER, pooling_type=4)
ENCODER = replace(WRITER, architecture="bert", metadata={"bert.pooling_type": 2})
UNSAID = replace(ENCODER, metadata={})


@pytest.mark.parametrize(
    ("header", "use", "pooling", "task"),
    [
        (WRITER, None, None, Task.WRITE),
        (WRITER, "code", "mean", Task.WRITE),
        (WRITER, "embed", "mean", Task.EMBED),
        (WRITER, "embed", "rank", Task.RERANK),
        (WRITER, None, "last", Task.EMBED),
        (with_keys(WRITER, pooling_type=0), None, None, Task.WRITE),
        (EMBEDDER, None, None, Task.EMBED),
        (EMBEDDER, "embed", None, Task.EMBED),
        (EMBEDDER, "chat", None, Task.WRITE),
        (RERANKER, None, None, Task.RERANK),
        (RERANKER, "embed", None, Task.RERANK),
        (ENCODER, None, None, Task.EMBED),
        (ENCODER, "chat", None, Task.EMBED),
        (UNSAID, None, "mean", Task.EMBED),
    ],
)
def test_a_header_says_what_a_model_is_for_unless_the_user_does(
    header: Header, use: str | None, pooling: str | None, task: Task
) -> None:
    assert task_of(header, use, pooling) is task


@pytest.mark.parametrize(("header", "use"), [(WRITER, "embed"), (UNSAID, None), (UNSAID, "chat")])
def test_how_texts_become_vectors_is_never_guessed(header: Header, use: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of(header, use, None)

    assert caught.value.why == f"its file states no {header.architecture}.pooling_type"
    assert 'pooling = "mean"' in caught.value.fix


@pytest.mark.parametrize(
    ("header", "said", "pooling"),
    [
        (EMBEDDER, None, "last"),
        (EMBEDDER, "mean", "mean"),
        (WRITER, None, None),
        (with_keys(WRITER, pooling_type=9), None, None),
        (with_keys(WRITER, pooling_type="mean"), None, None),
    ],
)
def test_the_users_word_on_pooling_goes_over_the_files(
    header: Header, said: str | None, pooling: str | None
) -> None:
    assert pooling_of(header, said) == pooling


@pytest.mark.parametrize(
    ("header", "pooling", "asked"),
    [
        (EMBEDDER, "last", Wish(goal=8192, embeds=True)),
        (EMBEDDER, "mean", Wish(goal=2048, embeds=True, whole_texts=True)),
        (RERANKER, "rank", Wish(goal=2048, embeds=True, whole_texts=True)),
        (ENCODER, "cls", Wish(goal=8192, whole_texts=True)),
    ],
)
def test_texts_that_are_pooled_are_read_at_once_but_for_those_whose_last_token_counts(
    header: Header, pooling: str, asked: Wish
) -> None:
    assert for_texts(Wish(goal=16_384), header, pooling) == asked
