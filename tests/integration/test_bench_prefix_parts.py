"""The benchmark of prefixes asks as agents do, reads the three APIs right, and judges by that."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
CHAT = [
    {"choices": [{"delta": {"role": "assistant", "content": None}}]},
    {"choices": [{"delta": {"content": "Hi"}}]},
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 90,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 70},
        },
    },
]
MESSAGES = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 0}}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
    {
        "type": "message_delta",
        "usage": {"input_tokens": 20, "cache_read_input_tokens": 70, "output_tokens": 3},
    },
]
RESPONSES = [
    {"type": "response.created", "response": {"usage": None}},
    {"type": "response.output_text.delta", "delta": "Hi"},
    {
        "type": "response.incomplete",
        "response": {
            "usage": {
                "input_tokens": 90,
                "output_tokens": 3,
                "input_tokens_details": {"cached_tokens": 70},
            }
        },
    },
]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import one of the benchmark's parts by name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"bench_prefix_{name}")


@pytest.fixture
def streaming() -> Iterator[Any]:
    """Answer each post with the next events, or the last; yield what starts it and tells its port."""
    servers: list[ThreadingHTTPServer] = []

    def start(*answers: list[dict[str, Any]]) -> int:
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                for event in left.pop(0) if len(left) > 1 else left[0]:
                    self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, *words: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}).start()
        return int(servers[-1].server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("events", [CHAT, MESSAGES, RESPONSES])
def test_tokens_are_read_off_each_api(
    bench: Any, streaming: Any, events: list[dict[str, Any]]
) -> None:
    request = bench("shapes").Request("/v1/any", {}, {})

    reading = bench("asking").ask(streaming(events), request)

    assert (reading.prompt_tokens, reading.cached_tokens, reading.generated_tokens) == (90, 70, 3)
    assert (reading.read_tokens, reading.text) == (20, "Hi")
    assert reading.first_s > 0


def test_an_answer_without_usage_is_no_reading(bench: Any, streaming: Any) -> None:
    request = bench("shapes").Request("/v1/any", {}, {})

    with pytest.raises(bench("asking").NotAnswered, match="no usage"):
        bench("asking").ask(streaming(CHAT[:2]), request)


@pytest.mark.parametrize(
    ("agent", "path", "tools", "recorded_kb"),
    [
        ("claude-code", "/v1/messages?beta=true", 12, 48),
        ("codex", "/v1/responses", 9, 40),
        ("opencode", "/v1/chat/completions", 10, 31),
    ],
)
def test_a_conversation_has_the_shape_that_was_recorded(
    bench: Any, agent: str, path: str, tools: int, recorded_kb: int
) -> None:
    shapes = bench("shapes")

    one = shapes.conversation(agent, "m", scale=1.0, seed=3)

    assert (one.request.path, len(one.request.body["tools"])) == (path, tools)
    added = len(json.dumps(one.request.body["tools"]))  # once more, for a template without tools
    assert (one.size_bytes - added) / 1000 == pytest.approx(recorded_kb, rel=0.1)
    assert one.size_bytes > shapes.conversation(agent, "m", scale=0.2, seed=3).size_bytes


@pytest.mark.parametrize("agent", ["claude-code", "codex", "opencode"])
def test_a_turn_begins_as_the_last_one_did(bench: Any, agent: str) -> None:
    one = bench("shapes").conversation(agent, "m", scale=0.1, seed=3)
    where = "input" if agent == "codex" else "messages"

    following = one.answered("It says heron.", "Go on.").request.body

    before = one.request.body
    assert following[where][: len(before[where])] == before[where]
    assert len(following[where]) == len(before[where]) + 2
    assert {**following, where: None} == {**before, where: None}


def test_a_seed_makes_the_same_texts_and_a_session_its_own_id(bench: Any) -> None:
    shapes = bench("shapes")
    one, same, other, session = (
        shapes.conversation("codex", "m", scale=0.1, seed=seed, session=session).request.body
        for seed, session in ((3, 0), (3, 0), (4, 0), (3, 1))
    )

    assert one == same
    assert one["input"][0]["content"] != other["input"][0]["content"]
    assert one["input"][0]["content"] == session["input"][0]["content"]
    assert one["prompt_cache_key"] != session["prompt_cache_key"]


class APlace:
    """Stands for a daemon: what its answers took is scripted."""

    name = "m"
    calls_tools = True

    def __init__(
        self, port: int, folder: Path, *, start_s: float = 0.0, dies: bool = False
    ) -> None:
        self.port, self._folder, self._start_s, self._dies = port, folder, start_s, dies
        self._crashes = 0

    def last_event(self) -> int:
        return 0

    def start_s(self, seen: int) -> float:
        return self._start_s

    def unload(self) -> None:
        pass

    def wake(self) -> None:
        self._crashes += self._dies

    def crashes(self) -> int:
        return self._crashes

    def saved(self) -> list[Path]:
        return list(self._folder.glob("*.bin"))


def took(prompt: int, cached: int) -> list[dict[str, Any]]:
    """Answer with 8 tokens."""
    details = {"cached_tokens": cached}
    usage = {"prompt_tokens": prompt, "completion_tokens": 8, "prompt_tokens_details": details}
    return [*CHAT[:2], {"choices": [], "usage": usage}]


@pytest.mark.parametrize(
    ("cached", "beyond"),
    [(1008, 0), (1000, 8), (944, 64), (943, 65), (0, 1008)],
)
def test_read_again_is_what_was_neither_cached_nor_new(
    bench: Any, streaming: Any, tmp_path: Path, cached: int, beyond: int
) -> None:
    place = APlace(streaming(took(1000, 0), took(1050, cached)), tmp_path)
    talks = bench("talks").Talks(place, 0.01)
    talks.begin("one", "opencode")

    row = talks.go_on("one", "second turn")

    assert row.beyond_tokens == beyond
    assert bench("talks").is_met(row.beyond_tokens, 0.1) is (beyond <= 64)


@pytest.mark.parametrize(("target", "met"), [("WARM", False), ("TOKENS", True)])
def test_where_a_token_takes_long_tokens_alone_are_judged(
    bench: Any, streaming: Any, tmp_path: Path, target: str, met: bool
) -> None:
    place = APlace(streaming(took(1000, 0), took(1050, 1000)), tmp_path)
    talks = bench("talks").Talks(place, 0.01, getattr(bench("talks"), target))
    talks.begin("one", "opencode")
    talks._talks["one"] = replace(talks._talks["one"], cold_s=1e-9)

    row = talks.go_on("one", "second turn")

    assert (row.beyond_tokens, row.met) == (8, met)


def test_the_start_of_the_engine_is_taken_off_the_wait(
    bench: Any, streaming: Any, tmp_path: Path
) -> None:
    place = APlace(streaming(took(1000, 0), took(1050, 0)), tmp_path, start_s=60.0)
    talks = bench("talks").Talks(place, 0.01)
    talks.begin("one", "opencode")

    row = talks.go_on("one", "after unload")

    assert row.start_s == row.first_s
    assert row.ratio == 0.0


@pytest.mark.parametrize(
    ("turns", "shown", "verdict"),
    [
        ([(1, 0.05), (99, 0.01), (2, 0.3)], (99, 0.01), "MISSED"),
        ([(1, 0.05), (0, 0.3), (9, 0.02)], (0, 0.3), "MISSED in time"),
        ([(1, 0.05), (60, 0.02)], (1, 0.05), "met"),
    ],
)
def test_the_worst_of_several_turns_stands_for_them(
    bench: Any, turns: list[tuple[int, float]], shown: tuple[int, float], verdict: str
) -> None:
    talks = bench("talks")
    rows = [
        talks.Row("turn", "codex", 900, beyond_tokens=n, ratio=r, target=talks.WARM)
        for n, r in turns
    ]
    judged = [replace(row, met=talks.is_met(row.beyond_tokens, row.ratio)) for row in rows]

    row = talks.worst("in turn", judged)

    assert (row.name, row.beyond_tokens, row.ratio) == ("in turn", *shown)
    assert row.verdict == verdict


@pytest.mark.parametrize(
    ("case", "note"),
    [
        ((0, True, False), ""),
        ((0, False, False), "no saved file"),
        ((900, True, False), "used"),
        ((0, True, True), "engine died"),
    ],
)
def test_a_spoiled_file_must_be_there_and_neither_be_used_nor_break_anything(
    bench: Any, streaming: Any, tmp_path: Path, case: tuple[int, bool, bool], note: str
) -> None:
    cached, is_saved, dies = case
    rows = bench("rows")
    if is_saved:
        (tmp_path / "a.bin").write_bytes(bytes(100))
    place = APlace(streaming(took(1000, 0), took(1050, cached)), tmp_path, dies=dies)
    talks = bench("talks").Talks(place, 0.01)
    talks.begin(rows.MAIN, "opencode")

    row = rows._spoiled(place, talks, "truncated", rows._truncate)

    assert (row.met, row.note) == (not note, note)
    assert [file.stat().st_size for file in place.saved()] == [50] * is_saved


def test_an_agent_that_gets_no_answer_is_a_missed_row(
    bench: Any, streaming: Any, tmp_path: Path
) -> None:
    place = APlace(streaming(took(1000, 0), CHAT[:2]), tmp_path)
    talks = bench("talks").Talks(place, 0.01)
    talks.begin("one", "opencode")

    row = talks.go_on("one", "after SIGKILL")

    assert (row.met, row.note) == (False, "/v1/chat/completions told no usage")
