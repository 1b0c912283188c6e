"""A real engine is interviewed: a good one gives no rise to doubts, and one whose file is broken does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from localllm.catalog.profile import read_profiles
from localllm.engine_client.client import EngineClient, WarmUpFailed
from localllm.engine_client.interview import CHECK_TEXT, Interview, interview, is_said_again
from localllm.engines.base import Endpoint
from localllm.engines.workers.http import Listening, Refusal, WorkerHandler, WorkerServer
from localllm.engines.xllamacpp import Xllamacpp
from localllm.paths import bundled_profiles
from localllm.supervisor.doubts import doubts_about
from localllm.supervisor.tokenizers import known_before
from tests.a_worker import running
from tests.smollm2 import smollm2
from tests.unit.engines.a_serving import on_processor

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
an_engine = pytest.mark.xdist_group("engine")

(PROFILE,) = (p for p in read_profiles(bundled_profiles()) if p.answers_to("smollm2-135m"))
KNOWN = known_before(PROFILE, Path("nowhere"), "")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A socket's path has at most some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="interview-") as folder:
        yield Path(folder)


async def interviewed(model: Path, folder: Path) -> Interview:
    engine = Xllamacpp(os.environ)
    serving = on_processor(model_file=model, context=512, parallel=1, threads=2, host_cache_bytes=0)
    spec = engine.launch(engine.find(), serving, Endpoint(socket=folder / "e.sock"))
    with running(spec, folder / "log"):
        return await asked(spec.endpoint.socket)


async def asked(socket: Path | None) -> Interview:
    async with EngineClient("http://localhost", socket=socket, key=None) as client:
        return await interview(client)


@an_engine
async def test_a_small_model_in_four_bits_is_not_doubted(short_folder: Path) -> None:
    heard = await interviewed(smollm2(), short_folder)

    assert heard.tokens == PROFILE.check_tokens
    assert heard.round_trip is True
    assert heard.chat_prompt_tokens == 37
    assert "Monday" in heard.answer
    assert doubts_about(heard, KNOWN) == ()


@an_engine
async def test_a_file_that_names_a_wrong_tokenizer_is_doubted(short_folder: Path) -> None:
    """As a GGUF that was converted before llama.cpp knew the model: it answers well, mostly."""
    content = smollm2().read_bytes()
    place = content.index(b"smollm", content.index(b"tokenizer.ggml.pre"))
    model = short_folder / "wrong.gguf"
    model.write_bytes(content[:place] + b"falcon" + content[place + len("smollm") :])

    (doubt,) = doubts_about(await interviewed(model, short_folder), KNOWN)

    assert doubt == (
        "Its tokenizer makes 189 tokens of a fixed text,"
        " and it should be 181 according to its profile."
    )


@an_engine
async def test_weights_that_are_no_numbers_are_doubted(short_folder: Path) -> None:
    model = short_folder / "broken.gguf"
    content = bytearray(smollm2().read_bytes())
    middle, some = len(content) // 2, 1 << 16
    content[middle : middle + some] = b"\xff" * some  # a float of any width is none then
    model.write_bytes(content)

    (doubt,) = doubts_about(await interviewed(model, short_folder), KNOWN)

    assert "over and over" in doubt


class Plain(WorkerServer):
    """Chats, as it is told to, and knows no other path."""

    def __init__(self, folder: Path, message: dict[str, Any] | None) -> None:
        self.message = message
        super().__init__(Listening(str(folder / "e.sock"), None), _Handler)


class _Handler(WorkerHandler):
    server: Plain

    def answer(self, path: str, body: dict[str, Any]) -> None:
        if path != "/v1/chat/completions":
            super().answer(path, body)
        if self.server.message is None:
            raise Refusal(503, "not now", "unavailable_error")
        self.send_document({"choices": [{"message": self.server.message}]})


@contextmanager
def plain(folder: Path, message: dict[str, Any] | None) -> Iterator[None]:
    with Plain(folder, message) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"content": "Hi"}, "Hi"),
        ({"content": None, "reasoning_content": "Hm, "}, "Hm, "),
        ({"content": "", "reasoning": "Hm, "}, "Hm, "),
        ({"content": "Hi", "reasoning": "Hm", "reasoning_content": "Hm"}, "Hm\nHi"),
        ({"role": "assistant"}, ""),
    ],
)
async def test_an_engine_without_token_paths_is_asked_for_its_answer_alone(
    short_folder: Path, message: dict[str, Any], answer: str
) -> None:
    with plain(short_folder, message):
        heard = await asked(short_folder / "e.sock")

    assert heard == Interview(None, round_trip=None, chat_prompt_tokens=None, answer=answer)


async def test_an_engine_that_does_not_chat_has_failed(short_folder: Path) -> None:
    with plain(short_folder, None), pytest.raises(WarmUpFailed, match="status 503"):
        await asked(short_folder / "e.sock")


async def test_an_engine_that_is_gone_has_failed(short_folder: Path) -> None:
    with pytest.raises(WarmUpFailed, match="closed the connection"):
        await asked(short_folder / "e.sock")


@pytest.mark.parametrize(
    ("again", "same"),
    [
        (CHECK_TEXT, True),
        (f" {CHECK_TEXT}", True),
        (CHECK_TEXT.replace("ö", "o\u0308"), True),
        (CHECK_TEXT.replace("🚀", "\ufffd"), False),
        (CHECK_TEXT.replace("   ", " "), False),
        (CHECK_TEXT.replace("ö", "o"), False),
        (f"<s>{CHECK_TEXT}", False),
        ("", False),
    ],
)
async def test_only_a_first_space_and_the_way_of_composing_may_change(
    again: str, same: bool
) -> None:
    assert is_said_again(CHECK_TEXT, again) is same
