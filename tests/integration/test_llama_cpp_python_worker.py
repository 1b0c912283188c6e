"""llama-cpp-python in its worker, with a real model: what clients get from it, and what they cannot."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import psutil
import pytest

from localllm.engine_client.client import EngineClient
from localllm.engines.base import Endpoint, LaunchSpec, Sampling
from localllm.engines.llama_cpp_python import LlamaCppPython
from localllm.engines.load_log import misplaced, parse_load_log
from localllm.engines.workers.llama_cpp_python.model import Model
from localllm.engines.workers.llama_cpp_python.request import Text
from localllm.engines.workers.llama_cpp_python.worker import settings_from
from tests.engine_link import EngineLink
from tests.llama_cpp_python import require_llama_cpp_python
from tests.smollm2 import smollm2
from tests.unit.engines.a_serving import on_processor

pytestmark = [
    pytest.mark.xdist_group("engine"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module", autouse=True)
def _engine_is_here() -> None:
    require_llama_cpp_python()


CONTEXT = 512
SERVING = on_processor(
    model_file=smollm2(), context=CONTEXT, parallel=1, threads=2, sampling=Sampling(temperature=0.0)
)
HELLO = [{"role": "user", "content": "Write a short story about a lighthouse."}]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
COUNTING = "One, two, three,"
LONG = "The keeper of the lighthouse went up the stairs. " * 45
"""Nearly the whole context, so that it takes a while to read."""

USER_ID = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}


class Connection(EngineLink):
    """Sends requests to a worker."""

    def send_request(self, path: str, key: str | None = None, **body: Any) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self.request("POST", path, json.dumps(body), headers)


@dataclass(frozen=True)
class Worker:
    endpoint: Endpoint
    process: subprocess.Popen[bytes]
    log: Path

    def connect(self) -> closing[Connection]:
        return closing(Connection(self.endpoint))

    def ask(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        with self.connect() as connection:
            connection.send_request(path, **body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def answer(self, path: str, **body: Any) -> dict[str, Any]:
        status, document = self.ask(path, **body)
        assert status == 200, document
        return document

    def refusal(self, path: str, **body: Any) -> dict[str, Any]:
        status, document = self.ask(path, **body)
        assert status == 400, document
        error: dict[str, Any] = document["error"]
        return error

    def events(self, path: str, **body: Any) -> list[dict[str, Any]]:
        with self.connect() as connection:
            connection.send_request(path, stream=True, **body)
            answer = connection.getresponse()
            assert answer.status == 200
            return list(events_of(answer))


def events_of(answer: HTTPResponse) -> Iterator[dict[str, Any]]:
    """Read a stream to its end, which has to be OpenAI's."""
    while (line := answer.readline().strip()) != b"data: [DONE]":
        assert line.startswith(b"data: ") or not line, line
        if line:
            yield json.loads(line.removeprefix(b"data: "))
    assert answer.read().strip() == b""


@contextmanager
def started(folder: Path, endpoint: Endpoint) -> Iterator[Worker]:
    engine = LlamaCppPython(os.environ)
    spec = engine.launch(engine.find(), SERVING, endpoint)
    log = folder / "log"
    with log.open("wb") as file:
        process = start(spec, file.fileno())
    worker = Worker(endpoint, process, log)
    try:
        wait_until_it_listens(worker)
        yield worker
    finally:
        process.terminate()
        process.wait()


def start(spec: LaunchSpec, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(spec.argv, env={**os.environ, **spec.env}, stdout=log, stderr=log)


def wait_until_it_listens(worker: Worker) -> None:
    while worker.process.poll() is None:
        try:
            with worker.connect() as connection:
                connection.request("GET", "/health")
                assert connection.getresponse().status == 200  # it listens only once it is loaded
            return
        except OSError:
            with pytest.raises(subprocess.TimeoutExpired):
                worker.process.wait(0.05)
    pytest.fail(worker.log.read_text())


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    with started(folder, Endpoint(socket=folder / "e.sock")) as worker:
        yield worker


def said(document: dict[str, Any]) -> str:
    choice = document["choices"][0]
    return str(choice["message"]["content"] if "message" in choice else choice["text"])


def test_the_real_binding_tells_its_version_and_that_requests_wait_for_each_other() -> None:
    found = LlamaCppPython(os.environ).find()

    assert (found.reason, found.devices, found.most_at_once) == (None, (), 1)
    assert found.version is not None
    assert found.version.count(".") >= 2


def test_its_log_tells_of_each_buffer_and_that_the_plan_was_kept(worker: Worker) -> None:
    report = parse_load_log(worker.log.read_text())

    sizes = {b.use: b.size_bytes for b in report.buffers}
    assert sizes["KV"] == 30 * 2 * CONTEXT * 3 * 64 * 2
    assert sizes.keys() == {"model", "KV", "compute", "output"}
    assert sizes["compute"] < 30 << 20  # no logits of a whole batch
    assert misplaced(report, SERVING) is None


def test_a_chat_is_answered_in_openais_shape_under_our_name(worker: Worker) -> None:
    answer = worker.answer(CHAT, messages=HELLO, max_tokens=8)

    assert answer.keys() >= {"id", "created", "system_fingerprint"}
    assert (answer["object"], answer["model"]) == ("chat.completion", "smol")
    [choice] = answer["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    assert choice["message"]["role"] == "assistant"
    usage, timings = answer["usage"], answer["timings"]
    assert usage["completion_tokens"] == timings["predicted_n"] == 8
    assert usage["prompt_tokens"] == timings["prompt_n"] + timings["cache_n"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert timings["prompt_ms"] > 0 < timings["predicted_ms"]


def test_a_streamed_chat_says_the_same_and_who_speaks_first(worker: Worker) -> None:
    whole = worker.answer(CHAT, messages=HELLO, max_tokens=12)

    events = worker.events(CHAT, messages=HELLO, max_tokens=12)

    assert {(e["object"], e["model"]) for e in events} == {("chat.completion.chunk", "smol")}
    assert len({e["id"] for e in events}) == 1
    deltas = [e["choices"][0]["delta"] for e in events]
    assert deltas[0] == {"role": "assistant", "content": None}
    assert "".join(d["content"] for d in deltas[1:-1]) == said(whole)
    assert deltas[-1] == {}
    assert [e["choices"][0]["finish_reason"] for e in events[-2:]] == [None, "length"]
    assert events[-1]["timings"]["predicted_n"] == 12
    assert not any("usage" in event for event in events)


def test_a_streams_usage_comes_last_for_those_who_ask(worker: Worker) -> None:
    events = worker.events(
        CHAT, messages=HELLO, max_tokens=3, stream_options={"include_usage": True}
    )

    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 3
    assert events[-1]["timings"]["predicted_n"] == 3
    assert [e for e in events if "usage" in e] == events[-1:]


def test_a_text_is_completed_whole_or_streamed(worker: Worker) -> None:
    whole = worker.answer(TEXT, prompt=COUNTING, max_tokens=6)
    events = worker.events(TEXT, prompt=[COUNTING], max_tokens=6)

    assert whole["object"] == events[0]["object"] == "text_completion"
    assert said(whole).startswith(" four, five")
    assert "".join(e["choices"][0]["text"] for e in events) == said(whole)
    assert events[-1]["choices"][0]["finish_reason"] == "length"


def test_a_stop_sequence_ends_an_answer_before_it_though_it_spans_tokens(worker: Worker) -> None:
    whole = worker.answer(TEXT, prompt=COUNTING, max_tokens=50, stop="ive, si")
    events = worker.events(TEXT, prompt=COUNTING, max_tokens=50, stop=["ive, si", "none"])

    assert said(whole) == " four, f"
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert "".join(e["choices"][0]["text"] for e in events) == " four, f"


def test_the_models_own_end_is_a_stop(worker: Worker) -> None:
    answer = worker.answer(
        CHAT, messages=[{"role": "user", "content": "Say hi."}], grammar='root ::= "Hi"'
    )

    assert said(answer) == "Hi"
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("text", ["naïve 🙂 café", "世界"])
def test_a_character_of_several_tokens_is_never_torn(worker: Worker, text: str) -> None:
    asked = {"prompt": f"{text}\n" * 3, "grammar": f'root ::= "{text}"', "max_tokens": 64}

    assert said(worker.answer(TEXT, **asked)) == text
    events = worker.events(TEXT, **asked)
    assert "".join(e["choices"][0]["text"] for e in events) == text


def test_long_tokens_as_indented_code_has_them_are_not_lost(worker: Worker) -> None:
    """The binding's own detokenizer drops those of more than 32 bytes."""
    model = Model(settings_from(worker.process.args[-1]))  # type: ignore[index]
    text = f"def f():\n{' ' * 64}return 1\n{'-' * 64}\n"

    pieces = [model.bytes_of(token) for token in model.prompt_of(Text(prompt=text))]

    assert max(map(len, pieces)) > 32
    assert b"".join(pieces).decode() == text


def test_an_answer_without_a_bound_gets_what_the_context_leaves(worker: Worker) -> None:
    answer = worker.answer(TEXT, prompt=[1017] * (CONTEXT - 5), seed=1, grammar="root ::= [a-z]*")

    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == CONTEXT


@pytest.mark.parametrize("tokens", [CONTEXT, 2 * CONTEXT])
def test_a_prompt_over_the_context_is_refused_with_both_numbers(
    worker: Worker, tokens: int
) -> None:
    error = worker.refusal(TEXT, prompt=[1017] * tokens)

    assert error["type"] == "exceed_context_size_error"
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (tokens, CONTEXT)


def test_a_known_beginning_is_not_read_again_unless_the_client_wants_it(worker: Worker) -> None:
    def timings(**more: Any) -> dict[str, Any]:
        answer = worker.answer(CHAT, messages=HELLO, max_tokens=2, **more)
        told: dict[str, Any] = answer["timings"]
        return told

    first = timings(cache_prompt=False)
    again = timings()
    anew = timings(cache_prompt=False)

    prompt_tokens = first["prompt_n"]
    assert first["cache_n"] == anew["cache_n"] == 0
    assert (again["cache_n"], again["prompt_n"]) == (prompt_tokens - 1, 1)
    assert anew["prompt_n"] == prompt_tokens


def test_a_prompt_that_leaves_the_known_one_early_is_answered_as_if_it_were_new(
    worker: Worker,
) -> None:
    new = worker.answer(TEXT, prompt=COUNTING, max_tokens=6, cache_prompt=False)
    worker.answer(TEXT, prompt="One, two, buckle my shoe", max_tokens=6)

    forked = worker.answer(TEXT, prompt=COUNTING, max_tokens=6)

    assert 0 < forked["timings"]["cache_n"] < 6
    assert said(forked) == said(new)


def test_a_seed_makes_chance_repeatable_and_none_does_not(worker: Worker) -> None:
    def story(**more: Any) -> str:
        return said(worker.answer(CHAT, messages=HELLO, max_tokens=16, temperature=1.5, **more))

    assert story(seed=7) == story(seed=7)
    assert len({story() for _ in range(4)}) > 1


@pytest.mark.parametrize(
    "form",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"schema": USER_ID}}},
        {"response_format": {"type": "json_object", "schema": USER_ID}},
        {"json_schema": USER_ID},
    ],
)
def test_an_answer_is_held_to_a_schema(worker: Worker, form: dict[str, Any]) -> None:
    answer = worker.answer(CHAT, messages=HELLO, max_tokens=60, **form)

    assert isinstance(json.loads(said(answer))["id"], int)


def test_any_json_object_will_do_where_no_schema_is_given(worker: Worker) -> None:
    answer = worker.answer(
        CHAT, messages=HELLO, max_tokens=20, response_format={"type": "json_object"}
    )

    assert said(answer).startswith("{")


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
TOOLS = [{"type": "function", "function": {"name": "look"}}]


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        (CHAT, {}, "messages"),
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": [{"content": "hi"}]}, "role"),
        (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (CHAT, {"messages": [*HELLO, {"role": "user", "content": IMAGE}]}, "messages[1].content"),
        (CHAT, {"messages": HELLO, "max_tokens": "many"}, "max_tokens"),
        (CHAT, {"messages": HELLO, "max_tokens": 0}, "max_tokens"),
        (CHAT, {"messages": HELLO, "temperature": -1}, "temperature"),
        (CHAT, {"messages": HELLO, "stop": [1]}, "stop"),
        (CHAT, {"messages": HELLO, "stream": "yes"}, "stream"),
        (CHAT, {"messages": HELLO, "n": 2}, "n:"),
        (CHAT, {"messages": HELLO, "tools": TOOLS}, "tools"),
        (CHAT, {"messages": HELLO, "functions": [{"name": "look"}]}, "tools"),
        (CHAT, {"messages": HELLO, "logprobs": True}, "logprobs"),
        (CHAT, {"messages": HELLO, "logit_bias": {"5": 1}}, "logit_bias"),
        (CHAT, {"messages": HELLO, "response_format": {"type": "xml"}}, "response_format"),
        (CHAT, {"messages": HELLO, "response_format": {"type": "json_schema"}}, "json_schema"),
        (CHAT, {"messages": HELLO, "json_schema": {"type": "unheard-of"}}, "schema"),
        (CHAT, {"messages": HELLO, "json_schema": {"$ref": "https://e.com/s"}}, "schema"),
        (CHAT, {"messages": HELLO, "json_schema": USER_ID, "grammar": "root ::= [a]"}, "grammar"),
        (CHAT, {"messages": HELLO, "grammar": "root ::= nothing"}, "grammar"),
        (CHAT, {"messages": HELLO, "chat_template_kwargs": {"messages": []}}, "template"),
        (TEXT, {"prompt": ""}, "prompt"),
        (TEXT, {"prompt": ["two", "texts"]}, "prompt"),
        (TEXT, {"prompt": [1, "mixed"]}, "prompt"),
        (TEXT, {"prompt": [10**6]}, "prompt"),
        (TEXT, {"prompt": [-1]}, "prompt"),
        (TEXT, {"prompt": "x", "echo": True}, "echo"),
        (TEXT, {"prompt": "x", "logprobs": 3}, "logprobs"),
    ],
)
def test_what_is_wrong_or_cannot_be_done_is_refused_by_name(
    worker: Worker, path: str, body: dict[str, Any], named: str
) -> None:
    error = worker.refusal(path, **body)

    assert error["type"] == "invalid_request_error"
    assert named in error["message"]


def test_a_refused_stream_is_an_http_error_and_no_stream(worker: Worker) -> None:
    error = worker.refusal(CHAT, messages=HELLO, stream=True, grammar="root ::= nothing")

    assert "grammar" in error["message"]


def test_what_asks_for_nothing_special_is_answered(worker: Worker) -> None:
    answer = worker.answer(
        CHAT,
        messages=[{"role": "user", "content": [{"type": "text", "text": "Say hi."}], "name": "me"}],
        max_completion_tokens=2,
        tools=TOOLS,
        tool_choice="none",
        logprobs=False,
        logit_bias={},
        n=1,
        response_format={"type": "text"},
        temperature=None,
        stop=None,
        user="me",
    )

    assert answer["usage"]["completion_tokens"] == 2


def test_an_unknown_path_is_none_of_its_own(worker: Worker) -> None:
    status, document = worker.ask("/v1/embeddings", input="x")

    assert (status, document["error"]["type"]) == (404, "not_found_error")


def test_two_clients_at_once_are_answered_one_after_the_other(worker: Worker) -> None:
    ended: dict[str, float] = {}
    waiting = threading.Thread(
        target=lambda: ended.update(second=began(worker, TEXT, prompt=COUNTING, max_tokens=1))
    )
    with worker.connect() as first:
        first.send_request(CHAT, messages=HELLO, max_tokens=40, stream=True)
        events = events_of(first.getresponse())
        next(events)
        waiting.start()
        for _ in events:
            ended["first"] = time.monotonic()
    waiting.join()

    assert ended["first"] < ended["second"]


def began(worker: Worker, path: str, **body: Any) -> float:
    worker.answer(path, **body)
    return time.monotonic()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_ends_its_answer_within_a_few_tokens(
    worker: Worker, stream: bool
) -> None:
    story = said(worker.answer(CHAT, messages=HELLO, max_tokens=200))
    known = worker.answer(CHAT, messages=HELLO, max_tokens=1, cache_prompt=False)
    prompt_tokens = known["usage"]["prompt_tokens"]
    before = cpu_s(worker)
    with worker.connect() as goner:
        goner.send_request(CHAT, messages=HELLO, stream=stream)
        if stream:
            next(events_of(goner.getresponse()))
        else:
            wait_until_it_computed(worker, before + 0.6)

    own = [*HELLO, {"role": "assistant", "content": story}]
    kept = worker.answer(CHAT, messages=own, max_tokens=1)["timings"]

    assert kept["prompt_n"] > 100
    assert kept["cache_n"] < prompt_tokens + 100


def test_a_client_that_goes_away_while_its_prompt_is_read_ends_that_too(worker: Worker) -> None:
    worker.answer(TEXT, prompt=COUNTING, max_tokens=1, cache_prompt=False)
    before = cpu_s(worker)
    with worker.connect() as goner:
        goner.send_request(TEXT, prompt=LONG, max_tokens=1)
        wait_until_it_computed(worker, before + 0.2)

    kept = worker.answer(TEXT, prompt=LONG, max_tokens=1)["timings"]

    assert kept["prompt_n"] > 400
    assert kept["cache_n"] <= 1


def wait_until_it_computed(worker: Worker, until_s: float) -> None:
    while cpu_s(worker) < until_s:
        with pytest.raises(subprocess.TimeoutExpired):
            worker.process.wait(0.01)


def cpu_s(worker: Worker) -> float:
    return float(psutil.Process(worker.process.pid).cpu_times().user)


def test_a_client_that_goes_away_while_it_waits_is_never_answered(worker: Worker) -> None:
    with worker.connect() as first:
        first.send_request(CHAT, messages=HELLO, stream=True, max_tokens=60)
        events = events_of(first.getresponse())
        next(events)
        with worker.connect() as goner:
            goner.send_request(TEXT, prompt=LONG, max_tokens=1)
        for _ in events:
            pass

    kept = worker.answer(TEXT, prompt=LONG, max_tokens=1)["timings"]

    assert kept["cache_n"] <= 1


@pytest.mark.anyio
async def test_the_daemons_own_first_chat_succeeds_and_is_timed(worker: Worker) -> None:
    async with EngineClient("http://localhost", socket=worker.endpoint.socket, key=None) as client:
        assert await client.is_healthy()
        speed = await client.warm_up(CONTEXT)

    assert speed.prompt_tokens > 30
    assert speed.prefill_tps > 1
    assert speed.decode_tps is not None


def test_no_word_of_a_client_is_in_the_log(worker: Worker) -> None:
    before = worker.log.read_text()
    for _ in range(2):
        worker.answer(CHAT, messages=[{"role": "user", "content": "xyzzy"}], max_tokens=3)
    worker.answer(CHAT, messages=HELLO, max_tokens=3, grammar='root ::= "xyzzy"')
    assert worker.log.read_text() == before

    worker.refusal(CHAT, messages=HELLO, grammar="root ::= xyzzy")
    assert "xyzzy" not in worker.log.read_text()


def test_a_port_takes_nobody_without_the_key_which_is_in_no_process_list(tmp_path: Path) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with started(tmp_path, Endpoint(port=port, key="s3cret")) as worker:
        for key, status in (("s3cret", 200), ("wrong", 401), (None, 401)):
            with worker.connect() as connection:
                connection.send_request(TEXT, key, prompt="x", max_tokens=1)
                assert connection.getresponse().status == status
        assert "s3cret" not in " ".join(psutil.Process(worker.process.pid).cmdline())
