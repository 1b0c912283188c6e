"""Which engine serves what goes with a model, and what a user is told where one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.engines.base import Drafting, Installed, Task
from localllm.engines.extras import DRAFTED_ANSWERS, Extra, caveats, require_able
from localllm.errors import ConfigError, EngineUnusable
from tests.unit.engines.a_serving import on_processor

NEW = frozenset(
    {"--spec-type", "--spec-draft-n-max", "--spec-draft-model", "--spec-draft-ngl"}
    | {"--lora-scaled", "--embeddings", "--pooling", "--reranking"}
)


def an_engine(name: str, abilities: frozenset[str] = frozenset()) -> Installed:
    return Installed(name, "1", (f"/opt/{name}",), abilities=abilities)


@pytest.mark.parametrize("name", ["llama-server", "xllamacpp", "mlx", "llama-cpp-python", "vllm"])
def test_every_engine_serves_a_model_alone(name: str) -> None:
    require_able(an_engine(name), frozenset())


@pytest.mark.parametrize(
    ("name", "extra", "others"),
    [
        ("xllamacpp", Extra.ARGS, "llama-server, vllm, sglang"),
        ("mlx", Extra.ARGS, "llama-server, vllm, sglang"),
        ("mlx", Extra.DRAFT, "llama-server, xllamacpp"),
        ("llama-cpp-python", Extra.ADAPTERS, "llama-server, xllamacpp"),
        ("vllm", Extra.EMBED, "llama-server, xllamacpp"),
        ("sglang", Extra.RERANK, "llama-server, xllamacpp"),
    ],
)
def test_an_engine_that_cannot_is_refused_and_those_that_can_are_named(
    name: str, extra: Extra, others: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        require_able(an_engine(name, NEW), frozenset({extra}))

    assert caught.value.what == f"{name} cannot serve with {extra.value}."
    assert caught.value.why == f"it can be had with {others}"


def test_all_that_is_lacking_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        require_able(an_engine("vllm"), frozenset({Extra.DRAFT, Extra.ADAPTERS, Extra.ARGS}))

    assert caught.value.what == "vllm cannot serve with draft and lora."
    assert caught.value.why == "it can be had with llama-server"


def test_a_llama_server_is_able_only_with_the_flags_for_it() -> None:
    asked = frozenset({Extra.DRAFT, Extra.ADAPTERS, Extra.EMBED, Extra.RERANK, Extra.ARGS})
    require_able(an_engine("llama-server", NEW), asked)

    with pytest.raises(EngineUnusable) as caught:
        require_able(an_engine("llama-server", NEW - {"--spec-type"}), asked)

    assert caught.value.why == "/opt/llama-server has no --spec-type"
    assert "localllm engine install" in caught.value.fix


def test_who_has_a_draft_is_told_that_bound_answers_are_drafted_too() -> None:
    drafting = Drafting(3, Path("/models/small.gguf"), "f16")

    assert list(caveats(on_processor(drafting=drafting))) == [DRAFTED_ANSWERS]
    assert list(caveats(on_processor())) == []
    assert list(caveats(on_processor(task=Task.EMBED))) == []
