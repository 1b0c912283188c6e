"""A remote behind the gateway: what goes there, what of it, and how its answers are marked."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from openai import AsyncOpenAI

from localllm.api.status_views import StatusView
from localllm.cli.render import render_status
from localllm.config.remote import Remote
from localllm.daemon.running import has_uvloop
from localllm.events import ModelState as S
from localllm.gateway import remote
from localllm.gateway.client_stream import Patience
from tests.fakes.fake_remote import EVENT, PATH, STREAM, WHOLE, FakeRemote, Say, a_remote
from tests.fakes.house import DEADLINE_S, TOKEN, House, a_house, a_plan, asking

pytestmark = pytest.mark.anyio

KEY = "sk-far-secret"
ENVIRONMENT = {"FAR_KEY": KEY}
SERVED_BY = "X-Localllm-Served-By"
DONE = b"data: [DONE]\n\n"
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the daemon uses here."""
    return "asyncio", {"use_uvloop": has_uvloop()}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def settings(far: FakeRemote, *when: str, **more: Any) -> Remote:
    return msgspec.convert({"url": far.url, "when": when, "key_env": "FAR_KEY", **more}, Remote)


@asynccontextmanager
async def a_busy_house(logs: Path, far: Remote, **more: Any) -> AsyncIterator[House]:
    """Its only model has its only request, which does not end."""
    async with a_house(logs, max_requests=1, remote=far, environment=ENVIRONMENT, **more) as house:
        await house.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.ask, asking(hang=True))
            await house.until("hang")
            yield house
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def a_failed_house(logs: Path, far: Remote, **more: Any) -> AsyncIterator[House]:
    """Its only model has given up."""
    given = {"environment": ENVIRONMENT, **more}
    async with a_house(logs, "--fake-layers", "7/7", remote=far, **given) as house:
        hosted = house.serve(a_plan())
        with anyio.fail_after(DEADLINE_S):
            while hosted.state is not S.FAILED:
                await hosted.changed.wait()
        yield house


def error_of(text: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(text)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def marked(far: FakeRemote, *, stream: bool) -> bytes:
    """What a client reads if the remote says what it says by itself."""
    return f": served by remote {far.host}\n\n".encode() + b"".join(STREAM) if stream else WHOLE


@BOTH
async def test_what_is_too_much_here_is_answered_there_and_marked(
    tmp_path: Path, *, stream: bool
) -> None:
    async with a_remote() as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        status, headers, text = await house.ask({**asking(), "stream": stream})

    assert (status, headers[SERVED_BY]) == (200, f"remote:{far.host}")
    assert text == marked(far, stream=stream)
    assert len(far.seen) == 1


@BOTH
async def test_what_the_model_here_has_given_up_on_is_answered_there(
    tmp_path: Path, *, stream: bool
) -> None:
    async with a_remote() as far, a_failed_house(tmp_path, settings(far, "fallback")) as house:
        status, headers, text = await house.ask({**asking(), "stream": stream})

    assert (status, headers[SERVED_BY]) == (200, f"remote:{far.host}")
    assert text == marked(far, stream=stream)


@BOTH
@pytest.mark.parametrize(
    "script", [{"die_after": 0}, {"drop": "always"}, {"status": 500, "body": "{}"}]
)
async def test_what_its_engine_dies_of_before_the_first_byte_is_answered_there(
    script: dict[str, Any], tmp_path: Path, *, stream: bool
) -> None:
    async with (
        a_remote() as far,
        a_house(tmp_path, remote=settings(far, "fallback"), environment=ENVIRONMENT) as house,
    ):
        await house.ready()

        status, headers, text = await house.ask({**asking(**script), "stream": stream})

    assert (status, headers[SERVED_BY]) == (200, f"remote:{far.host}")
    assert text == marked(far, stream=stream)


async def test_what_its_engine_dies_of_later_stays_here(tmp_path: Path) -> None:
    async with (
        a_remote() as far,
        a_house(tmp_path, remote=settings(far, "fallback"), environment=ENVIRONMENT) as house,
    ):
        await house.ready()

        _, _, text = await house.ask({**asking(chunks=9, die_after=3), "stream": True})

    assert b"engine_gone" in text
    assert far.seen == []


async def test_a_model_that_is_not_ready_in_time_is_answered_for_there(tmp_path: Path) -> None:
    async with (
        a_remote() as far,
        a_house(
            tmp_path,
            "--fake-load",
            "60",
            wait_s=0.1,
            remote=settings(far, "fallback"),
            environment=ENVIRONMENT,
        ) as house,
    ):
        house.serve(a_plan())

        status, _, text = await house.ask(asking())

    assert (status, text) == (200, WHOLE)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.house.PATIENCE", Patience(open_after_s=0.05, silence_s=0.05))


@asynccontextmanager
async def a_loading_house(logs: Path, far: FakeRemote) -> AsyncIterator[House]:
    """Its model loads for longer than anybody waits; streams open before that."""
    given = settings(far, "fallback")
    async with a_house(
        logs, "--fake-load", "60", wait_s=0.2, remote=given, environment=ENVIRONMENT
    ) as house:
        house.serve(a_plan())
        yield house


@pytest.mark.usefixtures("impatient")
async def test_a_stream_that_is_open_already_goes_on_with_what_comes_from_there(
    tmp_path: Path,
) -> None:
    async with a_remote() as far, a_loading_house(tmp_path, far) as house:
        status, _, text = await house.ask({**asking(), "stream": True})

    assert status == 200
    assert text.startswith(b": waiting for the model\n\n")
    assert text.endswith(marked(far, stream=True))


@pytest.mark.usefixtures("impatient")
async def test_a_stream_that_is_open_already_ends_with_what_is_refused_there(
    tmp_path: Path,
) -> None:
    async with a_remote(Say(401)) as far, a_loading_house(tmp_path, far) as house:
        status, _, text = await house.ask({**asking(), "stream": True})

    *_, event, end = text.split(b"\n\n")
    error = error_of(event.removeprefix(b"data: "))
    assert (status, error["code"], end) == (200, "remote_failed", b"")
    assert "it was asked because: small is still loading." in error["message"]


async def test_of_a_client_its_body_alone_goes_there_with_our_key_and_the_models_name_there(
    tmp_path: Path,
) -> None:
    asked = b'{"messages":[{"role":"user","content":"caf\\u00e9" }],"model":"tiny","x":1.50}'
    there = b'{"messages":[{"role":"user","content":"caf\\u00e9" }],"model":"big","x":1.50}'
    async with (
        a_remote() as far,
        a_busy_house(tmp_path, settings(far, "overflow", model="big")) as house,
    ):
        await house.ask(
            asked, **{"Authorization": "Bearer mine", "Cookie": "a=b", "X-Title": "t", "DNT": "1"}
        )

    [seen] = far.seen
    assert (seen.target, seen.body) == (PATH, there)
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept-encoding"] == "identity"
    assert not {"cookie", "x-title", "dnt", "origin", "referer"} & set(seen.headers)
    assert "mine" not in str(seen.headers)


async def test_a_server_that_needs_no_key_gets_none(tmp_path: Path) -> None:
    async with (
        a_remote() as far,
        a_busy_house(tmp_path, settings(far, "overflow", key_env=None)) as house,
    ):
        status, _, _ = await house.ask(asking(), Authorization="Bearer mine")

    assert (status, "authorization" in far.seen[0].headers) == (200, False)


async def test_a_large_request_goes_there_whole(tmp_path: Path) -> None:
    asked = asking("x" * (3 << 20))
    async with (
        a_remote() as far,
        a_busy_house(tmp_path, settings(far, "overflow"), max_body_mib=4) as house,
    ):
        status, _, _ = await house.ask(asked)

    assert (status, [json.loads(seen.body) for seen in far.seen]) == (200, [asked])


@pytest.mark.parametrize(
    ("name", "status", "there"), [("huge", 200, ["huge-2026"]), ("gpt-9", 404, [])]
)
async def test_a_model_that_nothing_serves_here_is_answered_for_there_only_if_it_is_listed(
    name: str, status: int, there: list[str], tmp_path: Path
) -> None:
    listed = {"huge": "huge-2026"}
    async with a_remote() as far:
        given = settings(far, "fallback", "overflow", models=listed, model="any")
        async with a_house(tmp_path, remote=given, environment=ENVIRONMENT) as house:
            await house.ready()

            said, _, _ = await house.ask(asking(model=name))

    assert (said, far.models) == (status, there)


@BOTH
@pytest.mark.parametrize(
    "script",
    [{}, {"status": 400, "body": '{"error":{"message":"no"}}'}, {"status": 404, "body": "{}"}],
    ids=["served", "refused", "not found"],
)
async def test_what_is_served_or_rightly_refused_here_never_leaves_and_says_who_answered(
    script: dict[str, Any], tmp_path: Path, *, stream: bool
) -> None:
    async with a_remote() as far:
        given = settings(far, "fallback", "overflow", models={"small": "big"})
        async with a_house(tmp_path, remote=given, environment=ENVIRONMENT) as house:
            hosted = await house.ready()

            status, headers, _ = await house.ask({**asking(**script), "stream": stream})

    assert (status, headers[SERVED_BY]) == (400 if script else 200, hosted.id)
    assert far.seen == []


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    """A port that notices every connection, whatever is said over it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.mark.parametrize(
    ("when", "failed"), [([], True), (["overflow"], True), (["fallback"], False)]
)
async def test_nobody_connects_to_a_remote_for_what_is_not_named(
    when: list[str], canary: socket.socket, tmp_path: Path, *, failed: bool
) -> None:
    url = f"http://127.0.0.1:{canary.getsockname()[1]}/v1"
    given = msgspec.convert({"url": url, "when": when}, Remote)
    async with (a_failed_house if failed else a_busy_house)(tmp_path, given) as house:
        status, headers, _ = await house.ask(asking())
        unknown, _, _ = await house.ask(asking(model="gpt-9"))

    assert (status, SERVED_BY in headers, unknown) == (503 if failed else 429, False, 404)
    with pytest.raises(BlockingIOError):
        canary.accept()


@pytest.fixture
def reached() -> Iterator[list[Any]]:
    """Every address that this process looks up or connects to, as the interpreter tells."""
    addresses: list[Any] = []
    watching = True

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in {"socket.connect", "socket.getaddrinfo"}:
            addresses.append(arguments[1] if event == "socket.connect" else arguments[:2])

    sys.addaudithook(hear)  # it cannot be taken away again
    yield addresses
    watching = False


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})])
async def test_without_a_remote_nothing_is_looked_up_and_nothing_leaves_the_machine(
    reached: list[Any], tmp_path: Path
) -> None:
    async with a_house(tmp_path, max_requests=1) as house:
        hosted = await house.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.ask, asking(hang=True))
            await house.until("hang")
            busy, _, _ = await house.ask(asking())
            tasks.cancel_scope.cancel()
        with anyio.fail_after(DEADLINE_S):
            while hosted.in_flight:
                await anyio.sleep(0.005)
        gone, _, _ = await house.ask(asking(die_after=0))
        unknown, _, _ = await house.ask(asking(model="gpt-9"))

    assert (busy, gone, unknown) == (429, 502, 404)
    far = [a for a in reached if not isinstance(a, str | bytes) and a[0] != "127.0.0.1"]
    assert reached  # the fixture hears what there is
    assert far == []


@BOTH
@pytest.mark.parametrize(
    ("say", "status", "code", "retry"),
    [
        (Say(401, b'{"error":{"message":"bad key sk-far-secret"}}'), 502, "remote_failed", "true"),
        (Say(403, b"sk-far-secret"), 502, "remote_failed", "true"),
        (Say(404, b'{"error":{"message":"no model sk-far-secret"}}'), 502, "remote_failed", "true"),
        (Say(429, b'{"error":{"message":"slow down"}}'), 429, "busy", "true"),
        (Say(500, b"sk-far-secret oops"), 502, "remote_failed", "true"),
        (Say(400, b'{"error":{"message":"top_p?"}}'), 400, "bad_request", "false"),
        (Say(200, b"<html>", kind="text/html; charset=utf-8"), 502, "remote_failed", "true"),
    ],
)
async def test_what_is_refused_there_is_said_here_in_our_words_without_the_key(
    say: Say, status: int, code: str, retry: str, tmp_path: Path, *, stream: bool
) -> None:
    async with a_remote(say) as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        said, headers, text = await house.ask({**asking(), "stream": stream})

    assert (said, error_of(text)["code"], headers["x-should-retry"]) == (status, code, retry)
    assert ("Retry-After" in headers) == (status == 429)
    assert headers[SERVED_BY] == f"remote:{far.host}"
    assert KEY.encode() not in text


async def test_a_refused_key_is_no_invitation_to_try_again_what_failed_for_good(
    tmp_path: Path,
) -> None:
    async with a_remote(Say(401)) as far, a_failed_house(tmp_path, settings(far, "fallback")) as h:
        status, headers, text = await h.ask(asking())

    assert (status, headers["x-should-retry"]) == (502, "false")
    assert "refuses the key" in error_of(text)["message"]
    assert "small could not be started." in error_of(text)["message"]


async def test_a_key_that_is_not_there_is_said_and_nothing_is_sent(tmp_path: Path) -> None:
    async with (
        a_remote() as far,
        a_failed_house(tmp_path, settings(far, "fallback"), environment={}) as house,
    ):
        status, headers, text = await house.ask(asking())

    assert (status, far.seen) == (502, [])
    assert "FAR_KEY is empty or not set" in error_of(text)["message"]
    assert SERVED_BY not in headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int, tmp_path: Path) -> None:
    async with a_remote() as other, a_remote() as far:
        far.say = Say(status, b"", headers={"Location": f"{other.url}/chat/completions"})
        async with a_busy_house(tmp_path, settings(far, "overflow")) as house:
            said, _, text = await house.ask(asking())

    assert (said, other.seen) == (502, [])
    assert str(status) in error_of(text)["message"]
    assert "redirects" in error_of(text)["message"]


async def test_a_remote_that_is_not_there_is_a_502_worth_a_retry(
    canary: socket.socket, tmp_path: Path
) -> None:
    port = canary.getsockname()[1]
    canary.close()
    given = Remote(url=f"http://127.0.0.1:{port}/v1", when=("fallback",))
    async with a_failed_house(tmp_path, given) as house:
        status, headers, text = await house.ask(asking())

    assert (status, error_of(text)["code"]) == (502, "remote_failed")
    assert headers["x-should-retry"] == "true"
    assert f"127.0.0.1:{port} cannot be reached" in error_of(text)["message"]


async def test_a_whole_answer_that_breaks_off_there_is_a_502(tmp_path: Path) -> None:
    say = Say(body=b'{"choices":', cut=True, headers={"Content-Length": "99"})
    async with a_remote(say) as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        status, _, text = await house.ask(asking())

    assert (status, error_of(text)["code"]) == (502, "remote_failed")


async def test_a_stream_that_breaks_off_there_ends_with_an_error_event(tmp_path: Path) -> None:
    say = Say(pieces=(EVENT, EVENT[:20]), cut=True)
    async with a_remote(say) as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        status, _, text = await house.ask({**asking(), "stream": True})

    *_, event, _ = text.split(b"\n\n")
    assert status == 200
    assert error_of(event.removeprefix(b"data: "))["code"] == "remote_failed"


async def test_an_answer_that_has_no_end_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_MOST_BYTES", 1 << 10)
    say = Say(body=b"x" * (1 << 20), hang=True)
    async with a_remote(say) as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        status, _, text = await house.ask(asking())

        with anyio.fail_after(DEADLINE_S):
            await far.left.wait()
    assert (status, error_of(text)["code"]) == (502, "remote_failed")


@BOTH
async def test_the_remote_is_told_at_once_when_the_client_goes_away(
    tmp_path: Path, *, stream: bool
) -> None:
    say = Say(hang=True)
    async with a_remote(say) as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.ask, {**asking(), "stream": stream})
            with anyio.fail_after(DEADLINE_S):
                while not far.seen:
                    await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()

        with anyio.fail_after(1.0):
            await far.left.wait()


async def test_while_the_daemon_stops_nothing_goes_there(tmp_path: Path) -> None:
    async with a_remote() as far:
        given = settings(far, "fallback", "overflow")
        async with a_house(tmp_path, remote=given, environment=ENVIRONMENT) as house:
            hosted = await house.ready()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(house.ask, asking(delay_s=0.3))
                await house.until("0.3")
                tasks.start_soon(house.fleet.close)
                with anyio.fail_after(DEADLINE_S):
                    while hosted.state is not S.DRAINING:
                        await hosted.changed.wait()
                status, _, text = await house.ask(asking())

    assert (status, error_of(text)["code"], far.seen) == (503, "not_ready", [])


async def test_the_status_counts_what_was_answered_there(tmp_path: Path) -> None:
    async with a_remote() as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        before = await shown(house)
        for stream in (True, False):
            await house.ask({**asking(), "stream": stream})
        far.say = Say(500)
        await house.ask(asking())
        after = await shown(house)

    assert "remote" not in before
    assert "1 active, 0 waiting, 1 done, 2 by the remote" in after


async def shown(house: House) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with house.http.get("/api/v1/status", headers=headers) as answer:
        view = msgspec.json.decode(await answer.read(), type=StatusView)
    return "\n".join(render_status(view))


async def test_the_official_client_reads_both_kinds_of_answer(tmp_path: Path) -> None:
    async with a_remote() as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        url = f"http://127.0.0.1:{house.port}/v1"
        async with AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            whole = await client.chat.completions.create(**asking())
            stream = await client.chat.completions.create(**asking(), stream=True)
            words = [chunk.choices[0].delta.content async for chunk in stream]

    assert (whole.choices[0].message.content, words) == ("from afar", ["from afar"] * 2)


async def test_netrc_is_not_asked_and_the_users_proxy_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine far.invalid login me password pass-of-mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with a_remote() as between:
        monkeypatch.setenv("http_proxy", f"http://{between.host}")
        given = Remote(url="http://far.invalid/v1", when=("overflow",), key_env="FAR_KEY")
        async with a_busy_house(tmp_path, given) as house:
            status, headers, _ = await house.ask(asking())

    [seen] = between.seen
    assert (status, headers[SERVED_BY]) == (200, "remote:far.invalid")
    assert seen.target == "http://far.invalid/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One of 127.0.0.1 that nobody has signed, with its key beside it in the same file."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl makes the certificate (Debian: apt install openssl)"
    file, key = tmp_path / "far.pem", tmp_path / "far.key"
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=far"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(file)]
    subprocess.run([openssl, *made.split(), *more], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + key.read_bytes())
    return file


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_is_trusted_if_the_user_says_so_and_else_the_key_stays_here(
    certificate: Path, tmp_path: Path, *, trusted: bool
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    said = {**ENVIRONMENT, "SSL_CERT_FILE": str(certificate)} if trusted else ENVIRONMENT
    async with a_remote(tls=tls) as far:
        async with a_failed_house(tmp_path, settings(far, "fallback"), environment=said) as house:
            status, _, text = await house.ask(asking())

    assert (status, len(far.seen)) == ((200, 1) if trusted else (502, 0))
    assert trusted or "certificate" in error_of(text)["message"].lower()


async def test_an_authority_that_is_named_but_not_there_is_said(tmp_path: Path) -> None:
    given = Remote(url="https://127.0.0.1:1/v1", when=("fallback",))
    said = {"SSL_CERT_FILE": str(tmp_path / "missing.pem")}
    async with a_failed_house(tmp_path, given, environment=said) as house:
        status, _, text = await house.ask(asking())

    assert (status, error_of(text)["code"]) == (500, "config_error")
    assert "missing.pem" in error_of(text)["message"]


async def test_no_log_has_the_key_a_prompt_or_an_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    says = [Say(), Say(401, KEY.encode()), Say(500, KEY.encode()), Say(cut=True, pieces=(EVENT,))]
    async with a_remote() as far, a_busy_house(tmp_path, settings(far, "overflow")) as house:
        for far.say in says:
            await house.ask({**asking("a-prompt-of-mine"), "stream": True})

    assert len(far.seen) == len(says)
    for text in (caplog.text, *(file.read_text() for file in tmp_path.glob("*.log"))):
        assert not any(word in text for word in (KEY, "a-prompt-of-mine", "from afar"))


async def test_what_comes_while_its_model_restarts_waits_for_it_and_stays_here(
    tmp_path: Path,
) -> None:
    async with (
        a_remote() as far,
        a_house(tmp_path, remote=settings(far, "fallback"), environment=ENVIRONMENT) as house,
    ):
        hosted = await house.ready()
        os.kill(hosted.runner.record.pid or 0, signal.SIGKILL)
        with anyio.fail_after(DEADLINE_S):
            while hosted.state is S.READY:
                await hosted.changed.wait()

        status, headers, _ = await house.ask(asking())

    assert (status, headers[SERVED_BY], far.seen) == (200, hosted.id, [])


async def test_a_models_name_with_letters_that_no_header_has_is_marked_all_the_same(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(a_plan("na\u00efve\n 7b", "n"))

        status, headers, _ = await house.ask(asking(model="n"))

    assert (status, headers[SERVED_BY]) == (200, "na%C3%AFve%0A 7b:q4_1:4096")
