"""What a llama-server is told of a draft, adapters, texts to embed, and flags of the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localllm.engines.base import Adapter, Drafting, Endpoint, Installed, Serving, Task
from localllm.engines.llama_server import LlamaServer
from localllm.errors import EngineUnusable
from tests.unit.engines.a_serving import VULKAN, on_device, on_processor

PORT = Endpoint(port=4242)
EVERYTHING = frozenset(
    {"--spec-type", "--spec-draft-n-max", "--spec-draft-model", "--spec-draft-ngl"}
    | {"--lora-scaled", "--embeddings", "--pooling", "--reranking"}
)
ABLE = Installed("llama-server", "1", ("ls",), abilities=EVERYTHING)
SMALL = Drafting(3, Path("/models/small.gguf"), "q8_0")
HEADS = Drafting(2, None, "f16")
LORA = Adapter(Path("/models/pirate.gguf"), 0.5)


def line_of(serving: Serving, found: Installed = ABLE) -> str:
    return " ".join(LlamaServer(None, {}).launch(found, serving, PORT).argv)


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        (
            on_processor(drafting=SMALL),
            "--spec-type draft-simple --spec-draft-n-max 3 --spec-draft-type-k q8_0 "
            "--spec-draft-type-v q8_0 --spec-draft-model /models/small.gguf --spec-draft-ngl 0",
        ),
        (
            on_device(VULKAN, drafting=replace(SMALL, device=VULKAN, layers=13)),
            "--spec-draft-ngl 13 --spec-draft-device Vulkan0",
        ),
        (
            on_processor(drafting=HEADS),
            "--spec-type draft-mtp --spec-draft-n-max 2 --spec-draft-type-k f16 "
            "--spec-draft-type-v f16",
        ),
        (
            on_processor(adapters=(LORA, Adapter(Path("/models/b.gguf")))),
            "--lora-scaled /models/pirate.gguf:0.5,/models/b.gguf:1",
        ),
        (on_processor(task=Task.EMBED), "--embeddings"),
        (on_processor(task=Task.EMBED, pooling="mean"), "--embeddings --pooling mean"),
        (on_processor(task=Task.RERANK, pooling="rank"), "--reranking"),
    ],
    ids=["draft", "draft on a device", "heads", "adapters", "embed", "embed by mean", "rerank"],
)
def test_what_goes_with_a_model_becomes_flags(serving: Serving, said: str) -> None:
    assert said in line_of(serving)


@pytest.mark.parametrize("beyond", ["--spec-draft-model", "--spec-draft-device"])
def test_heads_of_the_models_own_are_neither_a_file_nor_anywhere_else(beyond: str) -> None:
    assert beyond not in line_of(on_processor(drafting=HEADS))


@pytest.mark.parametrize(
    ("serving", "flag"),
    [
        (on_processor(drafting=SMALL), "--spec-type"),
        (on_processor(drafting=HEADS), "--spec-type"),
        (on_processor(adapters=(LORA,)), "--lora-scaled"),
        (on_processor(task=Task.EMBED), "--embeddings"),
        (on_processor(task=Task.RERANK), "--reranking"),
    ],
)
def test_a_build_that_lacks_a_flag_is_refused_by_its_name(serving: Serving, flag: str) -> None:
    with pytest.raises(EngineUnusable) as caught:
        line_of(serving, replace(ABLE, abilities=EVERYTHING - {flag}))

    assert caught.value.why == f"ls has no {flag}"


@pytest.mark.parametrize("name", ["a,b.gguf", "a:b.gguf"])
def test_an_adapter_whose_path_would_be_taken_apart_is_refused(name: str) -> None:
    with pytest.raises(EngineUnusable, match="cannot be named to a llama-server"):
        line_of(on_processor(adapters=(Adapter(Path("/models") / name),)))


def test_flags_of_the_users_own_come_last_so_that_they_go_over_ours() -> None:
    argv = LlamaServer(None, {}).launch(ABLE, on_processor(engine_args=("--seed", "7")), PORT).argv

    assert list(argv)[-2:] == ["--seed", "7"]


@pytest.mark.parametrize(
    ("serving", "batch"),
    [
        (on_processor(), "2048"),
        (on_processor(micro_batch=4096), "4096"),
        (on_processor(task=Task.EMBED, micro_batch=512), "512"),
        (on_processor(task=Task.EMBED, micro_batch=8192), "8192"),
    ],
)
def test_a_batch_never_caps_the_micro_batch_and_of_texts_is_one(
    serving: Serving, batch: str
) -> None:
    assert f"--batch-size {batch} --ubatch-size {serving.micro_batch} " in line_of(serving)
