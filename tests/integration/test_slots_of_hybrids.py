"""A saved slot of a model with a state or a window: another process goes on, also in other words.

Such a cache cannot be cut back to any place; checkpoints are what it goes back to.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from localllm.engine_client.client import EngineClient
from localllm.engine_client.slots import restore_slot, save_slot
from localllm.engines.base import Endpoint
from localllm.engines.xllamacpp import Xllamacpp
from localllm.fit.cache import CHECKPOINTS, Setting, checkpoint_bytes
from localllm.fit.shape import shape_of
from localllm.store.headers import read_header
from localllm.units import MIB
from tests.a_worker import running
from tests.fakes.a_delta_net import write_delta_net
from tests.fakes.a_window import write_window
from tests.unit.engines.a_serving import on_processor

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("engine"),
]

WORDS = random.Random(5)
PROMPT_TOKENS, CONTEXT = 1500, 4096
FEW_TOKENS = 64
PLAIN = 1000
"""A token that is said whatever random weights come to."""


def tokens(count: int) -> list[int]:
    return [WORDS.randrange(2, 15_000) for _ in range(count)]


@pytest.fixture(scope="module", params=["state", "window"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / f"{request.param}.gguf"
    return write_delta_net(file) if request.param == "state" else write_window(file)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A socket's path has at most some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="slots-") as short:
        (Path(short) / "prefixes").mkdir(mode=0o700)
        yield Path(short)


@asynccontextmanager
async def an_engine(model: Path, folder: Path, kv_type: str = "f16") -> AsyncIterator[EngineClient]:
    """A new process; it is there to the end of the block, or the test fails."""
    serving = on_processor(
        model_file=model,
        context=CONTEXT,
        parallel=2,
        kv_type=kv_type,
        threads=2,
        host_cache_bytes=0,
        checkpoints=CHECKPOINTS,
        prefix_folder=folder / "prefixes",
        pins_slots=True,
    )
    engine, socket = Xllamacpp(os.environ), folder / "e.sock"
    found = engine.find()
    assert "saves_checkpoints" in found.abilities
    with running(engine.launch(found, serving, Endpoint(socket=socket)), folder / "log") as process:
        async with EngineClient("http://localhost", socket=socket, key=None) as client:
            yield client
            assert process.poll() is None, (folder / "log").read_text(errors="replace")[-2000:]
    socket.unlink(missing_ok=True)


async def read_tokens(client: EngineClient, prompt: Sequence[int], *, answer: int = 16) -> int:
    """Ask for an answer in the first slot; return how many tokens of the prompt were read."""
    body = {
        "prompt": prompt,
        "n_predict": answer,
        "temperature": 0,
        "logit_bias": [[PLAIN, 2000.0]],
        "id_slot": 0,
    }
    async with client.post("/completion", msgspec.json.encode(body), fresh=True) as told:
        return int((await told.json())["timings"]["prompt_n"])


async def test_a_restored_slot_goes_on_after_what_was_said_and_after_other_words(
    model: Path, folder: Path
) -> None:
    prompt, others, new = tokens(PROMPT_TOKENS), tokens(20), tokens(40)
    async with an_engine(model, folder) as client:
        assert await read_tokens(client, prompt) == PROMPT_TOKENS
        assert await save_slot(client, 0, "a.bin")

    async with an_engine(model, folder) as client:
        assert await restore_slot(client, 0, "a.bin")
        in_other_words = await read_tokens(client, [*prompt, *others, *new])
        assert await restore_slot(client, 0, "a.bin")
        as_it_was_said = await read_tokens(client, [*prompt, *[PLAIN] * 15, *new])

    assert in_other_words <= len(others) + len(new) + FEW_TOKENS
    assert as_it_was_said <= len(new) + FEW_TOKENS


async def test_a_turn_back_and_a_turn_in_other_words_read_little_in_the_same_process(
    model: Path, folder: Path
) -> None:
    prompt, first, second = tokens(PROMPT_TOKENS), tokens(100), tokens(100)
    async with an_engine(model, folder) as client:
        await read_tokens(client, prompt)
        await read_tokens(client, [*prompt, *first])

        back = await read_tokens(client, [*prompt, *second])

    assert back <= len(second) + FEW_TOKENS


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
async def test_a_checkpoint_takes_what_the_formula_says(
    model: Path, folder: Path, kv_type: str
) -> None:
    shape = shape_of(read_header(model))
    setting = Setting(CONTEXT, 2, 512, kv_type=kv_type)

    async with an_engine(model, folder, kv_type) as client:
        await read_tokens(client, tokens(PROMPT_TOKENS))

    log = (folder / "log").read_text(errors="replace")
    logged = re.findall(r"created context checkpoint.*size = ([\d.]+) MiB", log)
    assert logged
    expected = checkpoint_bytes(shape, setting) / MIB
    assert [float(size) for size in logged] == pytest.approx([expected] * len(logged), rel=0.01)
