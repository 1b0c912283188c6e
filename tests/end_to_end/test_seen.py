"""What a cache has spared is seen: in every API's usage, in the request list, in metrics, in the status."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.installation import Installation
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
RULES = " ".join(f"Rule {i}: do thing number {i} well." for i in range(25))
CHAT = {"messages": [{"role": "system", "content": RULES}, {"role": "user", "content": "Hi."}]}
WITH_USAGE = {"stream_options": {"include_usage": True}}


def of_openai(usage: Any) -> tuple[int, int]:
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


def of_responses(usage: Any) -> tuple[int, int]:
    return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]


def of_messages(usage: Any) -> tuple[int, int]:
    """Anthropic's `input_tokens` are those that were read."""
    cached = usage["cache_read_input_tokens"]
    return usage["input_tokens"] + cached, cached


Reading = Callable[[Any], tuple[int, int]]
APIS: dict[str, tuple[str, dict[str, Any], dict[str, Any], Reading]] = {
    "chat": ("chat/completions", {**CHAT, "max_tokens": 4}, WITH_USAGE, of_openai),
    "completions": ("completions", {"prompt": RULES, "max_tokens": 4}, WITH_USAGE, of_openai),
    "responses": (
        "responses",
        {"instructions": RULES, "input": "Hi.", "max_output_tokens": 16},
        {},
        of_responses,
    ),
    "messages": (
        "messages",
        {"system": RULES, "messages": CHAT["messages"][1:], "max_tokens": 4},
        {},
        of_messages,
    ),
}
"""Path, body, what a stream's body has beside it, and how the usage is read: all of it, and cached."""


def post(here: Installation, path: str, body: dict[str, Any]) -> str:
    request = urllib.request.Request(
        f"{here.url}/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return str(answer.read().decode())


def usages(text: str) -> Iterator[Any]:
    """Every usage that is told, wherever the API puts it; of a stream in the order of its events."""
    events = re.findall(r"^data: (\{.*)$", text, re.MULTILINE) or [text]
    for event in map(json.loads, events):
        for holder in (event, event.get("response"), event.get("message")):
            if holder and holder.get("usage"):
                yield holder["usage"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", APIS)
def test_every_api_tells_how_much_of_a_prompt_was_cached(
    engine_served: Installation, api: str, *, stream: bool
) -> None:
    path, body, beside, read = APIS[api]
    body = {"model": engine_served.model()["id"], "temperature": 0, **body}
    if stream:
        body = {**body, "stream": True, **beside}
    post(engine_served, path, body)

    *_, usage = usages(post(engine_served, path, body))

    prompt, cached = read(usage)
    assert prompt > 200
    assert prompt - 64 <= cached < prompt, "but for its end it was cached"


def test_what_was_saved_is_seen_in_status_and_outlives_the_daemon(
    install: Callable[..., Installation],
) -> None:
    here = install()
    up = ("up", str(smollm2()), "--context", "2048", "--parallel", "1")
    here.ok(*up, within_s=120)
    before = here.json("status")["saved"]
    text = here.ok("status")
    path, body, beside, _ = APIS["chat"]
    body = {"model": "localllm", **body, "stream": True, **beside}

    cached = 0
    for words in ("And now?", "And then?"):
        *_, usage = usages(post(here, path, body))
        cached += of_openai(usage)[1]
        body["messages"] = [*body["messages"], {"role": "user", "content": words}]

    status, seen = here.json("status"), here.ok("status")
    saved = status["saved"]
    assert (before["tokens"], before["seconds"], "kept warm saved" in text) == (0, 0.0, False)
    assert (saved["tokens"], saved["seconds"] > 0, cached > 200) == (cached, True, True)
    assert f"{cached} tokens were not read again" in seen
    assert status["models"][0]["prompts"] == {"kept": "saved", "why": None}
    assert "prompts are kept on disk" in seen

    scraped = urllib.request.urlopen(f"{here.url}/metrics").read().decode()
    [counted] = re.findall(r"^localllm_saved_seconds_total\{.*\} (\S+)$", scraped, re.MULTILINE)
    assert float(counted) == pytest.approx(saved["seconds"])

    here.ok("down")
    here.ok(*up, within_s=120)
    after = here.json("status")["saved"]
    assert after["day"] > saved["day"] or after == pytest.approx(saved)
