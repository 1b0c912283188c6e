"""What llama-cpp-python's worker holds of a prompt outlives its process, and half a file ends none."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localllm.engine_client.client import EngineClient
from localllm.engine_client.slots import erase_slot, restore_slot, save_slot
from localllm.engines.base import Endpoint
from localllm.engines.llama_cpp_python import LlamaCppPython
from tests.a_worker import running
from tests.engine_link import EngineLink
from tests.llama_cpp_python import require_llama_cpp_python
from tests.smollm2 import smollm2
from tests.unit.engines.a_serving import on_processor

pytestmark = [
    pytest.mark.xdist_group("engine"),
    pytest.mark.timeout(240),
]

PROMPT = "You are an agent. " + " ".join(f"Rule {i}: do thing number {i} well." for i in range(50))
FEW_TOKENS = 16
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module", autouse=True)
def _engine_is_here() -> None:
    require_llama_cpp_python()


@dataclass(frozen=True)
class Worker:
    endpoint: Endpoint
    files: Path
    pid: int

    def link(self) -> closing[EngineLink]:
        return closing(EngineLink(self.endpoint))

    def ask(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        with self.link() as link:
            link.request("POST", path, json.dumps(body))
            answer = link.getresponse()
            return answer.status, json.loads(answer.read())

    def do(self, action: str, name: object = "a.kv", slot: str = "0") -> tuple[int, dict[str, Any]]:
        return self.ask(f"/slots/{slot}?action={action}", filename=name)

    def chat(self, *turns: str) -> tuple[int, int, str]:
        """Ask; return how many tokens were read, how many were held already, and the answer."""
        roles = ("system", "user", "assistant")
        told = [{"role": roles[min(i, 2 - i % 2)], "content": t} for i, t in enumerate(turns)]
        body = {"messages": told, "max_tokens": 8, "temperature": 0, "id_slot": 3}
        status, answer = self.ask(CHAT, **body)
        assert status == 200, answer
        timings = answer["timings"]
        return (
            timings["prompt_n"],
            timings["cache_n"],
            answer["choices"][0]["message"]["content"],
        )


@contextmanager
def a_worker(folder: Path, *, with_files: bool = True) -> Iterator[Worker]:
    """A new process; it is there to the end of the block, or the test fails."""
    files, socket = folder / "prefixes", folder / "e.sock"
    files.mkdir(mode=0o700, exist_ok=True)
    serving = on_processor(
        model_file=smollm2(),
        context=2048,
        parallel=1,
        threads=2,
        prefix_folder=files if with_files else None,
    )
    engine, endpoint = LlamaCppPython(os.environ), Endpoint(socket=socket)
    spec = engine.launch(engine.find(), serving, endpoint)
    try:
        with running(spec, folder / "log") as process:
            yield Worker(endpoint, files, process.pid)
            assert process.poll() is None, (folder / "log").read_text(errors="replace")[-2000:]
    finally:
        socket.unlink(missing_ok=True)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A socket's path has at most some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="lcpy-") as short:
        yield Path(short)


@pytest.fixture
def a_folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with short_folder() as folder, a_worker(folder) as worker:
        yield worker


def test_a_conversation_goes_on_in_a_new_process_and_only_what_is_new_is_read(
    a_folder: Path,
) -> None:
    with a_worker(a_folder) as first:
        cold, held, answer = first.chat(PROMPT, "Go.")
        turns = (PROMPT, "Go.", answer, "Go on.")
        status, saved = first.do("save")
        meant = first.chat(*turns)
    with a_worker(a_folder) as second:
        _, restored = second.do("restore")
        read, reused, said = second.chat(*turns)
    file = a_folder / "prefixes" / "a.kv"
    assert (status, held) == (200, 0)
    assert saved["n_written"] == restored["n_read"] == file.stat().st_size
    assert saved["n_saved"] == restored["n_restored"] == cold + 7
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["a.kv"]
    assert reused >= cold
    assert read <= FEW_TOKENS + 8
    assert (read, reused, said) == meant


@pytest.mark.anyio
async def test_the_daemon_understands_its_answers(worker: Worker) -> None:
    socket = worker.endpoint.socket
    async with EngineClient("http://localhost", socket=socket, key=None) as client:
        await erase_slot(client, 0)
        assert await save_slot(client, 0, "daemon.kv") is None, "nothing is held"
        assert not (worker.files / "daemon.kv").exists()
        read, _, _ = worker.chat(PROMPT, "Go.")
        written = await save_slot(client, 0, "daemon.kv")
        assert written is not None
        assert written.size_bytes == (worker.files / "daemon.kv").stat().st_size
        assert await erase_slot(client, 0)
        assert worker.chat("Be brief.", "Hi.")[1] < FEW_TOKENS
        assert await restore_slot(client, 0, "daemon.kv") == read + 7
        assert await restore_slot(client, 0, "missing.kv") is None


def cut(whole: bytes, at: int) -> bytes:
    return whole[:at]


def strange_token(whole: bytes, _: int) -> bytes:
    return whole[:12] + b"\xff\xff\xff\x7f" + whole[16:]


def longer(whole: bytes, by: int) -> bytes:
    return whole + b"\0" * by


def too_many(whole: bytes, tokens: int) -> bytes:
    return whole[:8] + tokens.to_bytes(4, sys.byteorder) + whole[12:]


@pytest.mark.parametrize(
    ("damage", "how"),
    [
        *[(cut, at) for at in (0, 3, 11, 12, 100, 3000, 100_000, 5_000_000, -1)],
        (strange_token, 0),
        (longer, 1),
        *[(too_many, tokens) for tokens in (0, 1, 2049, 2**32 - 1)],
        (lambda whole, _: os.urandom(len(whole)), 0),
    ],
)
def test_what_is_no_whole_file_is_refused_and_the_process_goes_on_with_nothing_held(
    worker: Worker, damage: Any, how: int
) -> None:
    worker.chat(PROMPT, "Go.")
    assert worker.do("save", "whole.kv")[0] == 200
    (worker.files / "bad.kv").write_bytes(damage((worker.files / "whole.kv").read_bytes(), how))

    status, refusal = worker.do("restore", "bad.kv")

    assert (status, refusal["error"]["type"]) == (400, "invalid_request_error")
    assert worker.do("erase")[1]["n_erased"] == 0
    assert worker.do("restore", "whole.kv")[0] == 200
    assert worker.chat(PROMPT, "Go.")[0] == 1


@pytest.mark.parametrize(
    "name",
    ["../a.kv", "/etc/passwd", ".a", "", "a/b", "a\\b", "a\0b", "a\n", "ü", "x" * 300, 5, None],
)
def test_only_a_plain_name_is_taken_and_what_is_held_stays_so(worker: Worker, name: object) -> None:
    worker.chat(PROMPT, "Go.")

    for action in ("save", "restore"):
        status, refusal = worker.do(action, name)
        assert (status, "filename" in refusal["error"]["message"]) == (400, True)

    assert worker.chat(PROMPT, "Go.")[0] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/slots/1?action=save",
        "/slots/-1?action=save",
        "/slots/x?action=erase",
        "/slots/0?action=burn",
        "/slots/0",
        "/slots/",
        "/slots/0?action=save&action=erase",
    ],
)
def test_there_is_one_slot_and_three_things_are_done_with_it(worker: Worker, path: str) -> None:
    status, refusal = worker.ask(path, filename="b.kv")

    assert status == 400
    assert "slot" in refusal["error"]["message"]


def test_what_was_erased_is_read_again(worker: Worker) -> None:
    cold, held, _ = worker.chat(PROMPT, "Go.")

    status, done = worker.do("erase")

    assert (status, done) == (200, {"id_slot": 0, "n_erased": cold + held + 7})
    assert worker.chat(PROMPT, "Go.")[:2] == (cold + held, 0)


def test_a_save_waits_for_the_answer_that_is_being_written_and_has_all_of_it(
    worker: Worker,
) -> None:
    worker.do("erase")
    saved: list[dict[str, Any]] = []
    save = threading.Thread(target=lambda: saved.append(worker.do("save", "late.kv")[1]))
    with worker.link() as link:
        body = {"messages": [{"role": "user", "content": "Count."}], "stream": True}
        more = {"max_tokens": 40, "temperature": 0, "stream_options": {"include_usage": True}}
        link.request("POST", CHAT, json.dumps({**body, **more}))
        answer = link.getresponse()
        answer.readline()
        save.start()
        events = answer.read().decode()
    save.join()

    usage = json.loads(events.split("data: ")[-2])["usage"]
    assert usage["completion_tokens"] > 8
    assert saved[0]["n_saved"] >= usage["total_tokens"] - 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds another process's files")
def test_where_the_disk_takes_no_more_nothing_is_left_and_what_is_held_stays_so(
    worker: Worker,
) -> None:
    worker.chat(PROMPT, "Go.")
    before = {one.name for one in worker.files.iterdir()}
    full, free = (1 << 20, resource.RLIM_INFINITY), (resource.RLIM_INFINITY,) * 2
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, full)
    try:
        status, refusal = worker.do("save", "full.kv")
    finally:
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, free)

    assert (status, refusal["error"]["type"]) == (500, "server_error")
    assert {one.name for one in worker.files.iterdir()} == before
    assert worker.chat(PROMPT, "Go.")[0] == 1


def test_without_a_folder_nothing_is_saved_or_restored(a_folder: Path) -> None:
    with a_worker(a_folder, with_files=False) as worker:
        assert worker.do("save")[0] == worker.do("restore")[0] == 501
        assert worker.do("erase")[0] == 200
