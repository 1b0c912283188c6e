"""Traffic is recorded as shapes, without a word of it, and replayed so that the cache is hit as it was."""

from __future__ import annotations

import json
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from localllm.api.traffic_file import BLOCK_TOKENS
from tests.fakes.installation import Installation, wait_until
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
SECRETS = ("xylophone", "Marmalade", "conversation-of-ours", "sk-planted")
RULES = " ".join(f"Rule {i}: never touch the xylophone of Marmalade {i}." for i in range(12))
NO_DAEMON = 4


@dataclass(frozen=True, slots=True)
class Recorded:
    here: Installation
    file: Path
    status: str
    """What `status` said meanwhile."""

    said: str
    """All that models said."""

    @property
    def shapes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()[1:]]

    def api(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.shapes if one.get("api", "chat") == name]


def converse(here: Installation, turns: int = 3, rules: str = RULES, tokens: int = 16) -> str:
    """What an agent does: it asks, and asks again with all that was said."""
    client = openai.OpenAI(base_url=f"{here.url}/v1", api_key="sk-planted", max_retries=0)
    messages: list[Any] = [{"role": "system", "content": rules}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"What of Marmalade number {turn}?"})
        answer = client.chat.completions.create(
            model="localllm",
            messages=messages,
            max_tokens=tokens,
            temperature=0,
            prompt_cache_key="conversation-of-ours",
        )
        messages.append({"role": "assistant", "content": answer.choices[0].message.content})
    return " ".join(m["content"] for m in messages if m["role"] == "assistant")


def ask_another_way(here: Installation) -> str:
    client = anthropic.Anthropic(base_url=here.url, api_key="sk-planted", max_retries=0)
    answer = client.messages.create(
        model="localllm", max_tokens=8, messages=[{"role": "user", "content": "A xylophone?"}]
    )
    return "".join(block.text for block in answer.content if block.type == "text")


def leave(here: Installation) -> None:
    """Begin to listen to an answer, and go."""
    client = openai.OpenAI(base_url=f"{here.url}/v1", api_key="sk-planted", max_retries=0)
    stream = client.completions.create(
        model="localllm", prompt="Marmalade is", max_tokens=400, stream=True
    )
    next(iter(stream))
    stream.close()


def recording(here: Installation) -> dict[str, Any]:
    return dict(here.json("record", "status"))


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        here = Installation(Path(home))
        here.ok("up", str(smollm2()), "--context", "2048", "--parallel", "2", within_s=120)
        file = Path(here.json("record", "on", "--minutes", "10")["file"])
        said = converse(here) + ask_another_way(here)
        leave(here)
        status = here.ok("status")
        wait_until(lambda: recording(here)["requests"] == 5, "all are written")
        here.ok("record", "off")
        yield Recorded(here, file, status, said)
        here.close()


def test_a_recording_is_seen_while_it_goes_on_and_says_how_it_is_replayed(
    recorded: Recorded,
) -> None:
    assert re.search(
        r"recording requests: \d requests of everybody, shapes, no text", recorded.status
    )
    assert recording(recorded.here)["over"] == "stopped"
    assert "recording" not in recorded.here.ok("status")
    (listed,) = recorded.here.json("record", "ls")["recordings"]
    assert (listed["requests"], listed["error"]) == (5, None)


def test_nothing_that_was_said_is_in_the_file_and_nobody_else_can_read_it(
    recorded: Recorded,
) -> None:
    text = recorded.file.read_text()

    assert stat.S_IMODE(recorded.file.stat().st_mode) == 0o600
    assert not [word for word in SECRETS if word.lower() in text.lower()]
    words = set(re.findall(r"[A-Za-z]{6,}", recorded.said))
    fields = json.dumps([list(shape) for shape in recorded.shapes])
    assert words, "it said something"
    assert not [word for word in words if word in text and word not in fields]


def test_the_shapes_tell_lengths_clients_conversations_and_what_prompts_have_in_common(
    recorded: Recorded,
) -> None:
    turns, (message,), (gone,) = (
        recorded.api(name) for name in ("chat", "messages", "completions")
    )

    first, second, third = turns
    assert (second["goes_on_from"], third["goes_on_from"]) == (first["id"], second["id"])
    assert first["hash_ids"][:-1] == third["hash_ids"][: len(first["hash_ids"]) - 1]
    assert second["cached_tokens"] >= first["input_length"]
    assert {one["conversation"] for one in turns} == {1}
    assert first["client"].startswith("OpenAI-Python/")
    assert message["client"].startswith("Anthropic-Python/")
    assert "conversation" not in message
    assert all(one["output_length"] == 16 and one["total_ms"] > one["wait_ms"] for one in turns)
    assert gone["ended"] == "cancelled"
    assert 0 < gone["output_length"] < 400


def test_a_replay_has_the_same_lengths_and_finds_as_much_in_the_cache_at_every_rate(
    recorded: Recorded,
) -> None:
    here = recorded.here
    replay = here.json(
        *("bench", "--replay", str(recorded.file), "--rate", "1,5", "--closed"), within_s=200
    )

    assert [one["rate"] for one in replay["passes"]] == [1.0, 5.0]
    for one in replay["passes"]:
        assert (one["requests"], one["failed"], one["exact_prompts"]) == (5, 0, 5), one
        assert one["exact_answers"] == 5, one
        assert one["cache"]["alike"] == one["cache"]["requests"] == len(knowing(recorded)), one
        assert abs(one["cache"]["share"] - one["cache"]["recorded"]) < 0.1
        assert one["first_token"]["n"] == 5
    assert Path(replay["saved"]).is_file()


def knowing(recorded: Recorded) -> list[dict[str, Any]]:
    return [one for one in recorded.shapes if "cached_tokens" in one]


def test_requests_come_when_they_are_due_though_the_server_is_slow(recorded: Recorded) -> None:
    said = recorded.here.run(
        *("bench", "--replay", recorded.file.stem, "--rate", "100", "--no-save", "--json"),
        within_s=200,
    )

    (one,) = json.loads(said.out)["passes"]
    assert said.code == 0, said
    assert "rate 100: 5 requests" in said.err
    assert one["most_at_once"] == 5, one
    assert one["exact_prompts"] == 5
    assert one["late"]["max"] < 1


def test_what_does_not_fit_is_said_and_left_out(recorded: Recorded, tmp_path: Path) -> None:
    header, *lines = recorded.file.read_text().splitlines()
    other = tmp_path / "other.jsonl"
    head = {**json.loads(header), "context": 100_000, "model": "qwen3-32b"}
    long = {**json.loads(lines[0]), "id": 99, "input_length": 5000, "hash_ids": None}
    small = {**json.loads(lines[3]), "model": "qwen3-32b"}
    other.write_text("\n".join(map(json.dumps, (head, long, small))) + "\n")

    said = recorded.here.ok("bench", "--replay", str(other), "--no-save", within_s=100)

    assert "1 request of qwen3-32b sent to smollm2" in said
    assert "recorded with a context of 100,000 tokens, 2,048 now" in said
    assert "left out: 1 request longer than smollm2" in said


def test_prompts_are_kept_only_when_asked_for_and_that_is_said_loudly(recorded: Recorded) -> None:
    here = recorded.here
    on = here.run("record", "on", "--prompts", "--client", "openai*")
    converse(here, turns=1)
    ask_another_way(here)
    wait_until(lambda: recording(here)["requests"], "it is written")
    file = Path(here.json("record", "off")["file"])

    assert "warning: the prompts themselves are written down" in on.err
    assert "xylophone of Marmalade 3" in file.read_text()
    assert "sk-planted" not in file.read_text()
    assert "Anthropic" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    replay = here.json("bench", "--replay", file.stem, "--no-save", within_s=100)
    assert replay["passes"][0]["exact_prompts"] == 1
    here.ok("record", "rm", file.stem, "--yes")
    assert not file.exists()


def test_a_bad_file_is_refused_with_its_line(recorded: Recorded, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    lines = recorded.file.read_text().splitlines()
    bad.write_text("\n".join([*lines[:2], '{"id": 7, "timestamp": "noon"}', *lines[3:]]) + "\n")

    ran = recorded.here.run("bench", "--replay", str(bad))

    assert ran.code == 1
    assert "line 3" in ran.err
    assert "timestamp" in ran.err


def test_a_second_recording_is_refused_and_a_wrong_question_too(recorded: Recorded) -> None:
    here = recorded.here
    here.ok("record", "on")
    again = here.run("record", "on")
    here.ok("record", "off")

    assert again.code == 1
    assert "localllm record off ends it" in again.err
    assert here.run("record", "on", "--minutes", "0").code == 2
    assert here.run("bench", "--replay", "no-such-file").code == 2
    assert here.run("bench", "--replay", str(recorded.file), "--rate", "fast").code == 2


@pytest.mark.parametrize("words", ["record on", "record off", "record status", "bench --replay x"])
def test_without_a_daemon_it_says_so(install: Callable[..., Installation], words: str) -> None:
    ran = install().run(*words.split())

    assert ran.code == NO_DAEMON, ran
    assert "localllm up" in ran.err
    assert BLOCK_TOKENS == 32, "docs/record.md says so"


def test_every_engine_tells_what_prompts_have_in_common(engine_served: Installation) -> None:
    file = Path(engine_served.json("record", "on")["file"])
    converse(engine_served, turns=2, rules=RULES[:120], tokens=2)
    off = engine_served.json("record", "off")

    _, first, second = map(json.loads, file.read_text().splitlines())
    assert (off["requests"], off["unmarked"]) == (2, 0)
    assert len(second["hash_ids"]) == -(-second["input_length"] // BLOCK_TOKENS)
    whole = first["input_length"] // BLOCK_TOKENS
    assert second["hash_ids"][:whole] == first["hash_ids"][:whole]
    assert second["goes_on_from"] == first["id"]
