"""What each engine says of given tokens, beside logits computed without it; and where one cannot say it."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.engine_client.client import EngineClient
from localllm.engines.base import Endpoint, Sampling
from localllm.engines.llama_cpp_python import LlamaCppPython
from localllm.engines.mlx import Mlx
from localllm.engines.xllamacpp import Xllamacpp
from localllm.paths import bundled_profiles
from localllm.quality.facts import Scored
from localllm.quality.perplexity import divergence_of, foresight_of
from localllm.quality.scoring import TOP, CannotScore, score
from localllm.quality.texts import read_texts
from localllm.quality.tokens import Tongue
from localllm.supervisor.client_voice import ClientVoice
from tests.a_worker import running
from tests.llama_cpp_python import require_llama_cpp_python
from tests.mlx_smollm2 import mlx_smollm2
from tests.smollm2 import smollm2
from tests.unit.engines.a_serving import on_processor

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]

(PASSAGE,) = (p for p in read_texts(bundled_profiles()).passages if p.name == "harbour")
ENGINES = {"xllamacpp": Xllamacpp, "llama-cpp-python": LlamaCppPython, "mlx": Mlx}
TOLERANCE_NATS = 0.02
"""Of the mean. Kernels for one token and for many, an f16 cache and an f32 one round differently:
single tokens were seen up to 0.1 apart, with means that agree to 0.005."""


@cache
def logits_of(model: Path) -> tuple[list[int], int, Any]:
    """Every logarithm of the passage, by llama.cpp's library itself, without any server of ours."""
    import llama_cpp  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    llm = llama_cpp.Llama(str(model), n_ctx=512, n_gpu_layers=0, logits_all=True, verbose=False)
    lead = llm.tokenize(PASSAGE.lead.encode(), add_bos=False)
    tokens = lead + llm.tokenize(PASSAGE.text.encode(), add_bos=False)
    llm.eval(tokens)
    logits = np.array(llm.scores[: len(tokens)], dtype=np.float64)
    most = logits.max(axis=-1, keepdims=True)
    shares = logits - (most + np.log(np.exp(logits - most).sum(axis=-1, keepdims=True)))
    return tokens, len(lead), shares


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[str, Endpoint]]:
    with tempfile.TemporaryDirectory(prefix="score-") as folder:  # a socket's path is short
        here = Endpoint(socket=Path(folder) / "e.sock")
        if request.param == "llama-cpp-python":
            require_llama_cpp_python()
        kind = ENGINES[request.param](dict(os.environ))
        serving = on_processor(
            model_file=mlx_smollm2() if request.param == "mlx" else smollm2(),
            context=512,
            parallel=1,
            threads=2,
            micro_batch=64,
            host_cache_bytes=0,
            sampling=Sampling(temperature=0.0),
        )
        with running(kind.launch(kind.find(), serving, here), Path(folder) / "log"):
            yield request.param, here


@pytest.fixture(scope="module")
def told(engine: tuple[str, Endpoint]) -> Scored:
    return anyio.run(scored, engine[1], engine[0])


async def scored(endpoint: Endpoint, name: str) -> Scored:
    async with EngineClient("http://localhost", socket=endpoint.socket, key=None) as client:
        return await score(ClientVoice(client), Tongue(name, "test"), PASSAGE)


def test_every_engine_tells_what_the_logits_say(told: Scored) -> None:
    require_llama_cpp_python()
    tokens, lead, shares = logits_of(smollm2())

    assert [one.id for one in told.tokens] == tokens[lead:]
    true = [float(shares[lead - 1 + at, one.id]) for at, one in enumerate(told.tokens)]
    said = [one.logprob or math.nan for one in told.tokens]
    assert sum(said) / len(said) == pytest.approx(sum(true) / len(true), abs=TOLERANCE_NATS)
    assert max(abs(a - b) for a, b in zip(said, true, strict=True)) < 0.3
    foresight = foresight_of([told])
    assert foresight is not None
    assert foresight.perplexity == pytest.approx(math.exp(-sum(true) / len(true)), rel=0.02)


def test_the_likeliest_tokens_are_told_in_their_order(told: Scored) -> None:
    for one in told.tokens:
        assert len(one.top) == TOP
        assert [share for _, share in one.top] == sorted((s for _, s in one.top), reverse=True)
        known = dict(one.top)
        if one.id in known:
            assert known[one.id] == pytest.approx(one.logprob, abs=1e-4)


def test_the_divergence_that_is_told_is_a_bound_of_the_true_one(told: Scored) -> None:
    """Of a distribution beside itself at another place, with all logits known."""
    import numpy as np  # noqa: PLC0415

    require_llama_cpp_python()
    _, lead, shares = logits_of(smollm2())
    for at in range(0, len(told.tokens) - 1, 7):
        p, q = shares[lead - 1 + at], shares[lead + at]
        true = float((np.exp(p) * (p - q)).sum())
        assert divergence_of(told.tokens[at], told.tokens[at + 1]) <= true + 0.2


def test_an_engine_that_tells_no_probabilities_is_said_to(engine: tuple[str, Endpoint]) -> None:
    with pytest.raises(CannotScore, match="unheard-of tells no probabilities"):
        anyio.run(scored, engine[1], "unheard-of")
