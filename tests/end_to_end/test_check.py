"""A real daemon examines SmolLM2: as it is served, damaged in several ways, and before a switch."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fakes import damaged_gguf
from tests.fakes.installation import Installation, Ran, wait_until
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
MODEL = "smollm2-135m-instruct"
PERPLEXITY = 7.9
"""Of the texts of the quick check, computed once with llama.cpp's library alone (test_check_scores.py does it
for one of them)."""


@dataclass(frozen=True)
class Place:
    here: Installation
    files: Path

    def damaged(self, way: str) -> Path:
        """A copy with something wrong, made once; an inode of its own, a name of its own."""
        file = self.files / f"smollm2-{way}.gguf"
        return file if file.exists() else damaged_gguf.WAYS[way](smollm2(), file)

    def check(self, *words: str | Path) -> tuple[Ran, dict[str, Any]]:
        ran = self.here.run("check", *map(str, words), "--json", within_s=300)
        return ran, json.loads(ran.out) if ran.out else {}

    def served(self) -> list[str]:
        return [one["id"] for one in self.here.json("status")["models"]]

    def ready(self) -> list[str]:
        models = self.here.json("status")["models"]
        return [one["id"] for one in models if one["state"] == "ready"]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with (
        tempfile.TemporaryDirectory(prefix="lll-") as home,
        tempfile.TemporaryDirectory(prefix="lll-") as files,
    ):
        here = Installation(Path(home))
        bad, good = (Path(files) / f"smollm2-{way}.gguf" for way in ("scrambled", "good"))
        here.configure(
            f'[profiles.bad]\nmodel = "{bad}"\ncheck = "quick"\ncontext = 2048\n'
            f'[profiles.good]\nmodel = "{good}"\ncheck = "quick"\ncontext = 2048\n'
        )
        here.ok("up", "--context", "2048", "--parallel", "2")
        yield Place(here, Path(files))
        here.close()


def said(report: dict[str, Any], weight: str) -> str:
    return " ".join(one["what"] for one in report["findings"] if one["weight"] == weight)


def test_a_small_model_in_order_is_not_broken_for_being_small(place: Place) -> None:
    ran, report = place.check(MODEL, "--quick")

    assert (ran.code, report["verdict"]) == (0, "ok"), ran
    examined = report["model"]
    assert examined["perplexity"]["perplexity"] == pytest.approx(PERPLEXITY, rel=0.03)
    assert examined["tokenizer"]["round_trip"] is True
    assert len(examined["tokenizer"]["templates"]) == 3
    assert {one["passed"] for one in examined["tasks"]} == {True, False}, "it is small"
    assert {one["api"] for one in examined["calls"]} == {"openai", "openai streamed"}
    assert examined["decode_tps"] > 1
    assert f"{MODEL}: the text 'harbour'" in ran.err
    assert place.served() == [MODEL]


@pytest.mark.parametrize(
    ("way", "verdict", "words"),
    [
        ("scrambled", "broken", "bits for a byte of plain English"),
        ("coarser", "worse", "Its perplexity is +"),
    ],
)
def test_a_damaged_one_is_told_from_it(place: Place, way: str, verdict: str, words: str) -> None:
    """The good one's result is kept; the damaged one is loaded beside it, and leaves again."""
    ran, report = place.check(place.damaged(way), "--against", MODEL, "--quick")

    assert (ran.code, report["verdict"]) == (1, verdict), ran
    assert words in said(report, verdict)
    assert "as it was examined" in ran.err, "the good one is not examined again"
    assert place.served() == [MODEL]


def test_what_is_not_there_is_said_with_the_same_words_as_everywhere(place: Place) -> None:
    ran, report = place.check("no-such-model")

    assert (ran.code, report) == (5, {})
    assert "fix:" in ran.err


@dataclass
class Reading:
    """A stream that is read in a thread of its own."""

    pieces: list[str]
    error: str | None = None
    over: bool = False


def a_stream(here: Installation) -> Reading:
    reading = Reading([])
    client = openai.OpenAI(base_url=f"{here.url}/v1", api_key="none", max_retries=0)

    def read() -> None:
        try:
            told = client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "Write a long story about the sea."}],
                stream=True,
                max_tokens=450,
                extra_body={"ignore_eos": True},
            )
            for chunk in told:
                reading.pieces += [choice.delta.content or "" for choice in chunk.choices]
        except openai.OpenAIError as error:
            reading.error = str(error)
        reading.over = True

    threading.Thread(target=read, daemon=True).start()
    wait_until(lambda: reading.pieces, "the stream has begun")
    return reading


def test_a_broken_one_is_not_switched_to_while_a_stream_goes_on(place: Place) -> None:
    scrambled = place.damaged("scrambled")
    stream = a_stream(place.here)

    ran = place.here.run("switch", "--profile", "bad", str(scrambled), within_s=200)

    assert ran.code != 0, ran
    assert "bits for a byte of plain English" in ran.err, ran
    assert place.ready() == [MODEL]
    (failed,) = [one for one in place.here.json("status")["models"] if one["state"] == "failed"]
    assert "bits for a byte of plain English" in failed["error"]["reason"]
    assert "examined before it takes over: broken after" in place.here.ok("events")
    wait_until(lambda: stream.over, "the stream has ended", within_s=200)
    assert (stream.error, len(stream.pieces) > 400) == (None, True)


def test_a_good_one_is_examined_and_switched_to(place: Place) -> None:
    good = place.damaged("good")

    ran = place.here.run("switch", "--profile", "good", str(good), within_s=200)

    assert ran.code == 0, ran
    assert "examined before it takes over: ok after" in place.here.ok("events")
    wait_until(lambda: place.ready() == ["smollm2-good"], "it has taken over")
