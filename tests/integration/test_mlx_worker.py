"""mlx-lm in its worker, with a real model: the gaps between its server and llama.cpp's are closed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from localllm.engine_client.client import EngineClient
from localllm.engines.base import Endpoint
from localllm.engines.load_log import misplaced, parse_load_log
from localllm.errors import ContextTooLong
from localllm.formats.header import Format
from localllm.gateway.engine_errors import engine_error
from localllm.store.headers import read_header
from localllm.store.local import find_model
from tests.engine_link import EngineLink
from tests.mlx_smollm2 import mlx_smollm2
from tests.mlx_worker import CHAT, TEXT, Worker, free_port, running, serving, spec_of

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
FRANCE_TOKENS = 37
KEY = "a key"
SOON_S = 30.0
"""Far below what the answers here would take that nobody waits for any more."""


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """A socket's path has at most some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="mlx-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def worker(short_folder: Path) -> Iterator[Worker]:
    """On a socket; much context, and one request at a time."""
    endpoint = Endpoint(socket=short_folder / "e.sock")
    with running(serving(), endpoint, short_folder) as worker:
        yield worker


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """On a port; little context, and two requests at a time."""
    endpoint = Endpoint(port=free_port(), key=KEY)
    few = serving(context=24, parallel=2)
    with running(few, endpoint, tmp_path_factory.mktemp("narrow")) as worker:
        yield worker


def test_the_folder_is_found_and_read_as_mlx(tmp_path: Path) -> None:
    stored = find_model(str(mlx_smollm2()), (), tmp_path, {})

    header = read_header(stored.file)

    assert (stored.format, header.format, header.quantization) == (Format.MLX, Format.MLX, "4bit")


def test_a_chat_is_answered_in_openais_words_with_llama_cpps_timings(worker: Worker) -> None:
    answer = worker.ask(CHAT, model="gpt-9", messages=FRANCE, cache_prompt=False)

    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "The capital of France is Paris."}
    assert choice["finish_reason"] == "stop"
    assert (answer["object"], answer["model"]) == ("chat.completion", "smol")
    assert answer["id"].startswith("chatcmpl-")
    assert answer["usage"]["prompt_tokens"] == FRANCE_TOKENS
    assert answer["usage"]["total_tokens"] == FRANCE_TOKENS + answer["usage"]["completion_tokens"]
    timings = answer["timings"]
    assert (timings["cache_n"], timings["prompt_n"]) == (0, FRANCE_TOKENS)
    assert timings["predicted_n"] == answer["usage"]["completion_tokens"]
    assert min(timings["prompt_ms"], timings["predicted_ms"]) > 0


def test_a_stream_names_its_speaker_first_and_its_usage_last(worker: Worker) -> None:
    events = worker.stream(
        CHAT, messages=FRANCE, max_tokens=3, stream_options={"include_usage": True}
    )

    *told, last = events
    deltas = [event["choices"][0]["delta"] for event in told]
    assert deltas == [
        {"role": "assistant", "content": None},
        {"content": "The"},
        {"content": " capital"},
        {"content": " of"},
        {},
    ]
    assert [e["choices"][0]["finish_reason"] for e in told] == [None] * 4 + ["length"]
    assert {(e["object"], e["model"], e["id"]) for e in events} == {
        ("chat.completion.chunk", "smol", last["id"])
    }
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 3
    assert last["timings"]["predicted_n"] == 3


def test_a_stream_whose_usage_nobody_wants_has_none(worker: Worker) -> None:
    events = worker.stream(TEXT, prompt="The capital of France is", max_tokens=1)

    assert all("usage" not in event for event in events)
    assert [event["choices"][0]["text"] for event in events] == [" Paris", ""]
    assert events[-1]["timings"]["predicted_n"] == 1


def test_an_answer_ends_before_a_stop_sequence_also_within_a_token(worker: Worker) -> None:
    answer = worker.ask(TEXT, prompt="The capital of France is", stop="aris", max_tokens=6)

    assert answer["choices"] == [{"finish_reason": "stop", "index": 0, "text": " P"}]
    assert answer["usage"]["completion_tokens"] == 1


def test_an_answer_that_nobody_bounds_may_take_what_the_context_leaves(narrow: Worker) -> None:
    tokens = [504] * 20

    unbounded = narrow.ask(TEXT, prompt=tokens, logit_bias={"2": -100})
    too_much = narrow.ask(TEXT, prompt=tokens, logit_bias={"2": -100}, max_tokens=10_000)

    for answer in (unbounded, too_much):
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["total_tokens"] == 24


def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers(narrow: Worker) -> None:
    with narrow.asked(TEXT, {"prompt": [504] * 24}) as answer:
        error = engine_error(answer.status, answer.read())

    assert isinstance(error, ContextTooLong)
    assert error.what == "The prompt has 24 tokens, the context holds 24."


def test_requests_that_the_plan_has_room_for_are_answered_at_the_same_time(narrow: Worker) -> None:
    with narrow.asked(TEXT, {"prompt": "One,", "logit_bias": {"2": -100}, "stream": True}) as long:
        long.readline()
        rest = Thread(target=long.read)
        rest.start()

        narrow.ask(TEXT, prompt="Two", max_tokens=1)

        assert rest.is_alive()
        rest.join()


def test_a_port_answers_only_those_who_have_its_key(narrow: Worker) -> None:
    with narrow.asked(TEXT, {"prompt": "Hello", "max_tokens": 1}, key="another") as answer:
        error = json.loads(answer.read())["error"]

    assert (answer.status, error["type"]) == (401, "authentication_error")
    assert narrow.get("/health") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"messages": FRANCE, "temperature": "hot"}, "$.temperature"),
        ({"messages": FRANCE, "max_tokens": 0}, "$.max_tokens"),
        ({"messages": "What?"}, "$.messages"),
        ({"messages": [{"content": "What?"}]}, "`role`"),
        ({"messages": FRANCE, "response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": FRANCE, "n": 2}, "n:"),
        ({"messages": FRANCE, "tools": [{"function": {"name": "f"}}]}, "tools"),
        ({"messages": FRANCE, "logit_bias": {"49152": 1}}, "logit_bias"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}]},
            "template",
        ),
    ],
)
def test_what_is_wrong_or_cannot_be_done_is_refused_and_named(
    worker: Worker, body: dict[str, Any], named: str
) -> None:
    error = worker.refusal(CHAT, **body)

    assert (error["code"], error["type"]) == (400, "invalid_request_error")
    assert named in error["message"]


def test_no_image_is_fetched(worker: Worker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as site:
        url = f"http://127.0.0.1:{site.getsockname()[1]}/cat.png"
        part = {"type": "image_url", "image_url": {"url": url}}

        worker.refusal(CHAT, messages=[{"role": "user", "content": [part]}])

        site.setblocking(False)
        with pytest.raises(BlockingIOError):
            site.accept()


def test_an_unknown_path_is_refused_in_openais_shape(worker: Worker) -> None:
    assert worker.refusal("/v1/embeddings", 404)["message"] == "no such path: /v1/embeddings"
    assert worker.get("/v1/none")[0] == 404


def test_probabilities_are_named_for_each_token(worker: Worker) -> None:
    answer = worker.ask(TEXT, prompt="The capital of France is", max_tokens=2, logprobs=2)

    first, second = answer["choices"][0]["logprobs"]["content"]
    assert (first["token"], second["token"]) == (" Paris", ".")
    assert bytes(first["bytes"]) == b" Paris"
    assert first["logprob"] == first["top_logprobs"][0]["logprob"] < 0
    assert len(first["top_logprobs"]) == 2


def test_a_prompt_is_kept_unless_it_is_to_be_read_anew(worker: Worker) -> None:
    prompt = list(range(600, 606))
    worker.ask(TEXT, prompt=prompt, max_tokens=1)

    again = worker.ask(TEXT, prompt=prompt, max_tokens=1)
    anew = worker.ask(TEXT, prompt=prompt, max_tokens=1, cache_prompt=False)

    assert again["timings"]["cache_n"] == again["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert (again["timings"]["cache_n"], anew["timings"]["cache_n"]) == (5, 0)


def test_a_prompt_that_is_kept_as_a_whole_is_answered_too(worker: Worker) -> None:
    prompt = list(range(700, 705))
    answer = worker.ask(TEXT, prompt=prompt, max_tokens=2, logprobs=0)
    said = [token["id"] for token in answer["choices"][0]["logprobs"]["content"]]

    on = worker.ask(TEXT, prompt=[*prompt, *said], max_tokens=1)

    assert on["usage"]["completion_tokens"] == 1
    assert on["timings"]["cache_n"] > 0


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_nobody_waits_for_is_ended(worker: Worker, stream: bool) -> None:
    if stream:
        body = {"prompt": "Once", "logit_bias": {"2": -100}, "stream": True}
        with worker.asked(TEXT, body) as answer:
            answer.readline()
    else:
        body = {"prompt": "Once", "logit_bias": {"2": -100}}
        leave_at_once(worker, body)
    left = time.monotonic()

    worker.ask(TEXT, prompt="Two", max_tokens=1)

    assert time.monotonic() - left < SOON_S


def test_a_prompt_that_nobody_waits_for_is_not_read_to_its_end(worker: Worker) -> None:
    leave_at_once(worker, {"prompt": [504] * 1000})
    left = time.monotonic()

    worker.ask(TEXT, prompt="Two", max_tokens=1)

    assert time.monotonic() - left < SOON_S


def leave_at_once(worker: Worker, body: Any) -> None:
    with closing(EngineLink(worker.endpoint)) as connection:
        connection.request("POST", TEXT, json.dumps(body))


@pytest.mark.anyio
async def test_the_daemons_own_first_chat_measures_both_speeds(worker: Worker) -> None:
    async with EngineClient("http://localhost", socket=worker.endpoint.socket, key=None) as client:
        assert await client.is_healthy()
        speed = await client.warm_up(1024)

    assert speed.prompt_tokens > 30
    assert speed.prefill_tps > 1
    assert speed.decode_tps is not None


def test_the_log_tells_where_the_weights_are_and_nothing_of_a_request(worker: Worker) -> None:
    report = parse_load_log(worker.log.read_text())

    assert misplaced(report, serving()) is None
    (buffer,) = report.buffers
    weights = read_header(mlx_smollm2()).weights_bytes
    assert (buffer.device, buffer.use) == ("CPU", "model")
    assert buffer.size_bytes == pytest.approx(weights, abs=buffer.resolution_bytes)
    assert len(worker.log.read_text().splitlines()) == 1


def test_the_socket_is_its_users_alone(worker: Worker) -> None:
    assert worker.endpoint.socket is not None
    assert worker.endpoint.socket.stat().st_mode & 0o077 == 0


def ended(model: Path, before: str = "") -> tuple[int, str]:
    """Run a worker that ends by itself, after a program of ours in its process."""
    spec = spec_of(serving(model_file=model), Endpoint(port=free_port()))
    run = f"{before}\nfrom localllm.engines.workers.mlx import worker as mlx_worker\nmlx_worker.main({spec.argv[-1]!r})"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_a_file_is_not_loaded_whatever_its_name(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"GGUF")

    code, words = ended(file)

    assert (code, words.strip()) == (1, f"mlx serves a model's folder, and {file} is none")


def test_a_folder_that_cannot_be_loaded_ends_the_worker_and_the_log_says_why(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(mlx_smollm2(), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_key_value_heads": 9}))

    code, words = ended(folder)

    assert code == 1
    assert "the model cannot be loaded: Expected shape (576, 72)" in words


def test_python_that_a_folder_brings_along_is_not_run(tmp_path: Path) -> None:
    folder, trace = tmp_path / "model", tmp_path / "trace"
    shutil.copytree(mlx_smollm2(), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_file": "own.py"}))
    (folder / "own.py").write_text(f"open({str(trace)!r}, 'w')")

    code, words = ended(folder)

    assert (code, trace.exists()) == (1, False)
    assert "own.py" in words


def test_when_generating_fails_for_good_the_worker_ends_with_it() -> None:
    ask = f"""
import json, threading, urllib.request, mlx_lm.server
mlx_lm.server._make_sampler = None
from localllm.engines.workers.mlx import server as mlx_server
serve = mlx_server.WorkerServer.serve_forever
def ask(server):
    url = "http://127.0.0.1:%d{TEXT}" % server.server_address[1]
    threading.Thread(target=urllib.request.urlopen, args=(url, b'{{"prompt": "Hello"}}')).start()
    serve(server)
mlx_server.WorkerServer.serve_forever = ask
"""
    code, words = ended(mlx_smollm2(), ask)

    assert code == 1
    assert "the thread that generates has died" in words


def test_mlx_is_held_to_the_memory_of_the_plan() -> None:
    settings = json.loads(spec_of(serving(host_cache_bytes=7 << 20), Endpoint(port=1)).argv[-1])
    program = f"""
import json, mlx.core as mx
from localllm.engines.workers.mlx.memory import plan_limits, set_limits
from localllm.engines.workers.mlx.worker import settings_from
limits = plan_limits(settings_from({json.dumps(settings)!r}))
set_limits(limits)
print(json.dumps([limits.weights, limits.caches, mx.get_memory_limit() - limits.computing,
                  mx.set_cache_limit(0) - limits.computing]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    weights = read_header(mlx_smollm2()).weights_bytes
    caches = 30 * 2 * 1024 * 3 * 64 * 2 + (7 << 20)
    assert json.loads(done.stdout) == [weights, caches, weights + caches, 0]


def test_reasoning_content_and_calls_come_apart() -> None:
    """By mlx-lm's own reader of markup; SmolLM2 has none, so the answer is made up."""
    from mlx_lm.generate import make_text_state_machine  # noqa: PLC0415
    from mlx_lm.server import Response  # noqa: PLC0415
    from mlx_lm.tool_parsers.json_tools import parse_tool_call  # noqa: PLC0415

    from localllm.engines.workers.mlx.request import Chat  # noqa: PLC0415
    from localllm.engines.workers.mlx.telling import Telling  # noqa: PLC0415

    tokenizer = SimpleNamespace(
        has_thinking=True,
        think_start="<think>",
        think_end="</think>",
        has_tool_calling=True,
        tool_call_start="<tool_call>",
        tool_call_end="</tool_call>",
        response_transitions={},
        structural_markers=(),
    )
    text = '<think>\nHm.\n</think>\n\nSo:\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    pieces = [*(text[i : i + 5] for i in range(0, len(text), 5)), ""]
    context = SimpleNamespace(
        text_sm=make_text_state_machine(tokenizer),
        initial_state="normal",
        tool_parser=parse_tool_call,
        prompt=[1, 2, 3],
        prompt_cache_count=-1,
    )
    generation: Any = Made(
        [Response(piece, 5, 0.0, None if piece else "stop", ()) for piece in pieces], context
    )
    request = Chat(messages=[])

    telling = Telling(model=None, request=request, generation=generation, tools=[])  # type: ignore[arg-type]
    deltas = list(telling.deltas())

    assert "".join(d.get("reasoning_content", "") for d in deltas) == "Hm."
    assert "".join(d.get("content") or "" for d in deltas) == "So:"
    (call,) = [call for d in deltas for call in d.get("tool_calls", ())]
    assert call["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert telling.finish == "tool_calls"
    assert asdict(telling.counts)["answer"] == len(pieces)


@dataclass(frozen=True)
class Made:
    responses: list[Any]
    context: Any

    def __iter__(self) -> Iterator[Any]:
        return iter(self.responses)
