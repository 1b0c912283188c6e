"""What a slot of a real engine holds is put into a file, and another process goes on with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from localllm.engine_client.client import EngineClient
from localllm.engine_client.slots import erase_slot, restore_slot, save_slot
from localllm.engines.base import Endpoint, Engine, LaunchSpec
from localllm.engines.llama_server import LlamaServer
from localllm.engines.xllamacpp import Xllamacpp
from tests.a_worker import running
from tests.fakes import vulkan_engine
from tests.smollm2 import smollm2
from tests.unit.engines.a_serving import on_processor

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("engine"),
    pytest.mark.parametrize("name", ["xllamacpp", "llama-server"]),
]

PROMPT = "You are an agent. " + " ".join(f"Rule {i}: do thing number {i} well." for i in range(50))
PROMPT_TOKENS = 651
FEW_TOKENS = 16


@pytest.fixture
def folder() -> Iterator[Path]:
    """A socket's path has at most some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="slots-") as short:
        yield Path(short)


def engine_called(name: str) -> Engine:
    if name == "xllamacpp":
        return Xllamacpp(os.environ)
    return LlamaServer(str(vulkan_engine.program()), os.environ)


def spec_of(name: str, folder: Path) -> LaunchSpec:
    files = folder / "prefixes"
    files.mkdir(mode=0o700, exist_ok=True)
    serving = on_processor(
        model_file=smollm2(),
        context=2048,
        parallel=2,
        threads=2,
        host_cache_bytes=0,
        prefix_folder=files,
    )
    engine = engine_called(name)
    return engine.launch(engine.find(), serving, Endpoint(socket=folder / "e.sock"))


@asynccontextmanager
async def an_engine(name: str, folder: Path) -> AsyncIterator[EngineClient]:
    """A new process; it is there to the end of the block, or the test fails."""
    spec = spec_of(name, folder)
    socket = folder / "e.sock"
    with running(spec, folder / "log") as process:
        async with EngineClient("http://localhost", socket=socket, key=None) as client:
            yield client
            assert process.poll() is None, (folder / "log").read_text(errors="replace")[-2000:]
    socket.unlink(missing_ok=True)


async def read_tokens(client: EngineClient, slot: int, prompt: str = PROMPT) -> tuple[int, int]:
    """Ask; return how many tokens of the prompt were read, and how many came from the slot."""
    body = {
        "messages": [{"role": "system", "content": prompt}, {"role": "user", "content": "Go."}],
        "max_tokens": 1,
        "temperature": 0,
        "id_slot": slot,
    }
    path = "/v1/chat/completions"
    async with client.post(path, msgspec.json.encode(body), fresh=True) as answer:
        timings = (await answer.json())["timings"]
        return timings["prompt_n"], timings["cache_n"]


async def test_a_saved_slot_goes_on_in_a_new_process_in_any_slot(name: str, folder: Path) -> None:
    async with an_engine(name, folder) as client:
        assert await read_tokens(client, 1) == (PROMPT_TOKENS, 0)
        written = await save_slot(client, 1, "a.bin")

    file = folder / "prefixes" / "a.bin"
    assert written is not None
    assert written.size_bytes == file.stat().st_size
    assert written.tokens in range(PROMPT_TOKENS, PROMPT_TOKENS + 3)
    seen_by_others = file.stat().st_mode & 0o077
    assert (file.parent.stat().st_mode & 0o777, seen_by_others and name) in {
        (0o700, 0),
        (0o700, "llama-server"),  # it knows no umask: its folder keeps others out
    }
    async with an_engine(name, folder) as client:
        assert await restore_slot(client, 0, "a.bin") in range(PROMPT_TOKENS, PROMPT_TOKENS + 3)
        read, reused = await read_tokens(client, 0)

    assert read <= FEW_TOKENS
    assert reused == PROMPT_TOKENS - read


async def test_what_cannot_be_saved_or_restored_is_none_and_the_engine_goes_on(
    name: str, folder: Path
) -> None:
    prefixes = folder / "prefixes"
    async with an_engine(name, folder) as client:
        assert await save_slot(client, 0, "of nothing") is None
        await read_tokens(client, 1, "Be brief.")
        (prefixes / "full").symlink_to("/dev/full")
        (prefixes / "random").write_bytes(os.urandom(100_000))

        assert await save_slot(client, 1, "../elsewhere") is None
        assert await save_slot(client, 1, "full") is None, "the disk is full"
        assert await restore_slot(client, 1, "missing") is None
        assert await restore_slot(client, 1, "../elsewhere") is None
        assert await restore_slot(client, 1, "random") is None, "it is no such file"
        assert await erase_slot(client, 1)
        assert (await read_tokens(client, 1, "Be brief."))[1] == 0
    assert await restore_slot(client, 1, "a.bin") is None, "the engine has ended"
    assert not await erase_slot(client, 1)
