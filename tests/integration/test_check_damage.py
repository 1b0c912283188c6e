"""Copies of SmolLM2 with a wrong tokenizer or template are told from it without reading a text."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from localllm.engine_client.client import EngineClient
from localllm.engines.base import Endpoint
from localllm.engines.xllamacpp import Xllamacpp
from localllm.paths import bundled_profiles
from localllm.quality.facts import Tokenizer
from localllm.quality.findings import findings_alone, tokenizer_drift, verdict_of
from localllm.quality.texts import read_texts
from localllm.quality.tokens import Tongue, look_at_tokenizer
from localllm.supervisor.client_voice import ClientVoice
from tests.a_worker import running
from tests.fakes import damaged_gguf
from tests.smollm2 import smollm2
from tests.unit.engines.a_serving import on_processor
from tests.unit.quality.some_facts import some_facts

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(120)]

TEXT = read_texts(bundled_profiles()).tokenizer


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="chk-") as short:  # a socket's path is short
        yield Path(short)


def looked_at(model: Path, folder: Path) -> Tokenizer:
    here = Endpoint(socket=folder / f"{model.stem}.sock")
    engine = Xllamacpp(dict(os.environ))
    serving = on_processor(model_file=model, context=512, parallel=1, threads=2, host_cache_bytes=0)

    async def look() -> Tokenizer:
        async with EngineClient("http://localhost", socket=here.socket, key=None) as client:
            return await look_at_tokenizer(ClientVoice(client), Tongue("xllamacpp", "m"), TEXT)

    with running(engine.launch(engine.find(), serving, here), folder / "log"):
        return anyio.run(look)


@pytest.fixture(scope="module")
def good(folder: Path) -> Tokenizer:
    return looked_at(smollm2(), folder)


def test_the_model_itself_gives_the_text_back_and_has_its_marks(good: Tokenizer) -> None:
    assert (len(good.ids or ()), good.joined, good.missing) == (332, True, ())
    assert (good.knows_tools, good.markup_tokens) == (False, 3)
    assert verdict_of(findings_alone(some_facts(tokenizer=good))) == "ok"


@pytest.mark.parametrize(
    ("way", "alone", "beside", "words"),
    [
        ("swapped", "ok", "broken", "from the 103rd on (332 in all, 332 there)"),
        ("forgetful", "broken", "worse", "leaves out what was said"),
        ("foreign", "ok", "worse", "marks of its chat template are plain text"),
    ],
)
def test_a_copy_with_something_wrong_is_told_from_it(
    way: str, alone: str, beside: str, words: str, folder: Path, good: Tokenizer
) -> None:
    """The swapped one has as many tokens as the other and gives every text back: only they differ."""
    damaged = damaged_gguf.WAYS[way](smollm2(), folder / f"{way}.gguf")

    told = looked_at(damaged, folder)

    by_itself = findings_alone(some_facts(tokenizer=told))
    drift = tokenizer_drift(told, good, "the good one")
    assert (verdict_of(by_itself), verdict_of(drift)) == (alone, beside)
    assert words in " ".join(one.what for one in [*by_itself, *drift])
