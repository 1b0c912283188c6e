"""`localllm bench` on a real engine: a table, a document, runs that are kept and compared, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import openai
import pytest

from tests.fakes.installation import Installation, wait_until

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
MODEL = "smollm2-135m-instruct"
SMALL = ("--prompt", "32", "--generate", "8", "--repeat", "2")
SINGLE = (*SMALL, "--depths", "0", "--concurrency", "1")


@pytest.fixture(scope="module")
def served() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        here = Installation(Path(home))
        here.ok("up", "--context", "1024", "--parallel", "2")
        yield here
        here.close()


@pytest.fixture(scope="module")
def measured(served: Installation) -> dict[str, Any]:
    """The first run: two depths, alone and two at once."""
    options = (*SMALL, "--depths", "0,256", "--concurrency", "1,2")
    document: dict[str, Any] = served.json("bench", MODEL, *options, within_s=300)
    return document


def saved(here: Installation) -> list[Path]:
    return sorted((here.state / "benches").glob("*.json"))


def test_each_point_is_measured_with_prompts_of_exactly_the_length_asked_for(
    measured: dict[str, Any],
) -> None:
    points = measured["points"]

    assert [(p["depth"], p["concurrency"], p["warm"]) for p in points] == [
        (0, 1, False),
        (256, 1, True),
        (0, 2, False),
    ]
    assert [p["prompt_tokens"] for p in points] == [32.0, 288.0, 32.0]
    assert [p["generated_tokens"] for p in points] == [8.0, 8.0, 8.0]
    assert [(p["requests"], p["failed"], p["foreign"]) for p in points] == [
        (2, 0, 0),
        (2, 0, 0),
        (8, 0, 0),
    ]


def test_a_depth_is_in_the_cache_and_a_prompt_is_not(measured: dict[str, Any]) -> None:
    alone, deep, crowd = measured["points"]

    assert deep["cached_tokens"] >= 250
    assert alone["cached_tokens"] < 32
    assert crowd["cached_tokens"] < 32
    assert deep["first_token"]["p50"] < 256 / alone["prefill"]["median"], "or it read the depth"


def test_what_a_client_sees_is_about_what_the_engine_says(measured: dict[str, Any]) -> None:
    for point in measured["points"][:2]:
        assert point["decode"]["median"] == pytest.approx(point["engine"]["decode_tps"], rel=0.5)
        assert point["prefill"]["median"] <= 1.5 * point["engine"]["prefill_tps"]


def test_the_document_says_what_was_measured_and_on_what(measured: dict[str, Any]) -> None:
    model, machine = measured["model"], measured["machine"]

    assert (model["id"], model["quant"], model["engine"]) == (MODEL, "Q4_1", "xllamacpp")
    assert model["engine_version"]
    assert len(model["sha256"]) == 64
    assert (model["context"], model["parallel"]) == (1024, 2)
    assert machine["cores"] > 0
    assert measured["predicted"]["memory"] > 100 << 20
    assert all(point["memory"] > 100 << 20 for point in measured["points"])
    assert 0 < measured["own"]["cpu"] < measured["own"]["wall"]
    assert (measured["format"], measured["interrupted"]) == (1, False)


def test_a_run_is_kept_as_it_was_printed_and_the_next_one_is_set_beside_it(
    served: Installation, measured: dict[str, Any]
) -> None:
    (file,) = saved(served)
    kept = json.loads(file.read_text())
    assert kept == {**measured, "comparison": None}
    assert measured["saved"] == str(file)

    out = served.ok("bench", *SINGLE, within_s=120)

    assert f"{MODEL} Q4_1 by xllamacpp" in out
    assert "one request at a time: 32 tokens read, 8 written" in out
    assert f"beside {measured['id']}" in out
    assert "depth 0, decode:" in out
    assert "the bench itself:" in out
    assert len(saved(served)) == 2
    listed = served.json("bench", "--list")["runs"]
    assert [one["id"] for one in listed][-1] == measured["id"]
    assert measured["id"] in served.ok("bench", "--list")


def test_nothing_of_it_is_among_the_prompts_that_are_kept(
    served: Installation, measured: dict[str, Any]
) -> None:
    assert measured["points"]
    assert served.json("prefix", "ls")["prefixes"] == []


def test_a_run_that_is_not_to_be_kept_is_not(
    served: Installation, measured: dict[str, Any]
) -> None:
    before = saved(served)

    document = served.json("bench", *SINGLE, "--no-save", "--compare", measured["id"])

    assert document["saved"] is None
    assert document["comparison"]["run"] == measured["id"]
    assert {change["figure"] for change in document["comparison"]["changes"]} == {
        "prefill",
        "decode",
    }
    assert saved(served) == before


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("no-such-model",), 5, "no-such-model"),
        (("--depths", "0,2000"), 2, "2000 does not fit"),
        (("--prompt", "1000", "--generate", "100"), 2, "do not fit"),
        (("--compare", "no-such-run"), 5, "no-such-run"),
        (("--depths", "many"), 2, "many"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_sent(
    served: Installation, words: tuple[str, ...], code: int, says: str
) -> None:
    before = served.json("status")["models"][0]["requests"]["total"]

    ran = served.run("bench", *words)

    assert ran.code == code, ran
    assert says in ran.err
    assert served.json("status")["models"][0]["requests"]["total"] == before


def test_without_a_daemon_there_is_nothing_to_measure(install: Callable[..., Installation]) -> None:
    ran = install().run("bench")

    assert (ran.code, ran.out) == (4, "")
    assert "localllm up" in ran.err


def test_others_stop_it_unless_they_may_be_measured_along(served: Installation) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Count."}],
        stream=True,
        max_tokens=900,
        extra_body={"ignore_eos": True},
    )
    enough = threading.Event()
    reading = threading.Thread(target=lambda: next((c for c in stream if enough.is_set()), None))
    reading.start()
    try:
        wait_until(
            lambda: served.json("status")["models"][0]["requests"]["active"], "it is under way"
        )
        refused = served.run("bench", *SINGLE)
        along = served.json("bench", *SINGLE, "--no-save", "--beside-others", within_s=120)
    finally:
        enough.set()
        reading.join(120)
        stream.close()

    assert refused.code == 8, refused
    assert "1 request of others is under way" in refused.err
    assert "OpenAI-Python" in refused.err
    assert along["points"][0]["foreign"] >= 1
    assert any("of others went on meanwhile" in note for note in along["notes"])


def test_control_c_keeps_what_was_measured_and_says_so(served: Installation) -> None:
    before, asked = saved(served), _asked(served)
    options = ("--prompt", "32", "--generate", "8", "--repeat", "100")
    with served.start("bench", *options, "--depths", "0", "--json") as process:
        wait_until(lambda: _asked(served) > asked + 3, "something was measured")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert "what was measured until then is kept" in err
    document = json.loads(out)
    assert document["interrupted"]
    assert 1 <= document["points"][0]["requests"] < 100
    assert len(saved(served)) == len(before) + 1


def test_what_was_measured_is_kept_though_the_daemon_dies(served: Installation) -> None:
    """The last one: nothing is served after it."""
    before, asked = saved(served), _asked(served)
    options = ("--prompt", "32", "--generate", "8", "--repeat", "100")
    with served.start("bench", *options, "--depths", "0", "--json") as process:
        wait_until(lambda: _asked(served) > asked + 3, "something was measured")
        os.kill(served.daemon_file()["pid"], signal.SIGKILL)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 4, err
    assert "what was measured until then is kept" in err
    assert json.loads(out)["interrupted"]
    assert len(saved(served)) == len(before) + 1


def _asked(here: Installation) -> int:
    """Chats of the bench that are over, as its daemon has them."""
    with urlopen(f"{here.url}/metrics") as answer:
        told = answer.read().decode()
    line = 'localllm_client_requests_total{client="localllm-bench"}'
    found = [one for one in told.splitlines() if one.startswith(line)]
    return int(float(found[0].split()[-1])) if found else 0
