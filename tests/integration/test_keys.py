"""API keys at a real port: who is let in beyond loopback, and that a change counts at once."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from localllm.api.daemon_file import DaemonFile
from localllm.api.key_file import changing_keys, write_keys
from localllm.api.keys import Key, hash_of, with_key, with_new_secret, without_key
from localllm.api.sync_client import DaemonClient
from tests.fakes.house import CHAT, DEADLINE_S, TOKEN, House, a_house, a_plan, asking
from tests.fakes.installation import Installation, wait_until

pytestmark = pytest.mark.anyio

BESIDE = "127.0.0.2"
"""Loopback to the system and beyond it to us: where tests may listen as if for others."""

EXPOSED, SHARED = {"listen": BESIDE, "allowed_hosts": ("mybox.lan",)}, {"auth": "always"}
SECRET = "sk-local-" + "a" * 43
KEY_HEADERS = (f"Authorization: Bearer {SECRET}", f"X-Api-Key: {SECRET}")


@pytest.fixture(autouse=True)
def _beside() -> None:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        try:
            probe.bind((BESIDE, 0))
        except OSError:
            pytest.skip("macOS has no second loopback address unless somebody adds it")


def make_key(folder: Path, name: str = "ann", secret: str = SECRET, **settings: object) -> None:
    file = folder / "state" / "keys.json"
    given = {"expires": None, "models": None, "per_minute": None, **settings}
    key = Key(id=name, name=name, sha256=hash_of(secret), created=0.0, **given)  # type: ignore[arg-type]
    with changing_keys(file) as keys:
        write_keys(file, with_key(keys, key))


async def said(
    house: House, method: str, path: str, *lines: str, to: str = BESIDE, body: str = ""
) -> tuple[int, str, str]:
    """Ask over a raw connection; return the answer's status, head and body."""
    head = [f"{method} {path} HTTP/1.1", "Connection: close", *lines]
    if not any(line.startswith("Host:") for line in lines):
        head.append(f"Host: {to}:{house.port}")
    if method == "POST":
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    with anyio.fail_after(DEADLINE_S):
        async with await anyio.connect_tcp(to, house.port) as stream:
            sent = [*head, "", body if method == "POST" else ""]
            await stream.send("\r\n".join(sent).encode())
            text = b"".join([piece async for piece in stream])
    answer, _, content = text.decode().partition("\r\n\r\n")
    return int(answer.split()[1]), answer, content


async def status(house: House, path: str, *lines: str, to: str = BESIDE) -> int:
    return (await said(house, "GET", path, *lines, to=to))[0]


def code_of(body: str) -> str:
    return str(json.loads(body)["error"]["code"])


def routes(app: web.Application) -> Sequence[tuple[str, str]]:
    """Every method and path of the application, so that a new one is tested unasked."""
    found = {
        (r.method, r.resource.canonical.replace("{id}", "x"))
        for r in app.router.routes()
        if r.resource and r.method != "HEAD"
    }
    return sorted(found)


async def test_beyond_loopback_every_route_but_two_wants_a_key_and_takes_either_header(
    tmp_path: Path,
) -> None:
    make_key(tmp_path)
    async with a_house(tmp_path, door=EXPOSED) as house:
        for method, path in [*routes(house.app), ("GET", "/"), ("GET", "/v1/nowhere")]:
            if path.startswith("/api/"):
                continue
            without, head, _ = await said(house, method, path, body="{")
            wrong = [
                (await said(house, method, path, line, body="{"))[0]
                for line in ("Authorization: Bearer x", "X-Api-Key: x", f"Cookie: {SECRET}",
                             f"Authorization: Bearer {TOKEN}", f"X-Api-Key: {TOKEN}")
            ]  # fmt: skip
            right = [(await said(house, method, path, line, body="{"))[0] for line in KEY_HEADERS]

            if path in {"/healthz", "/readyz"}:
                assert 401 not in {without, *wrong, *right}
            else:
                assert (method, path, without, set(wrong)) == (method, path, 401, {401})
                assert "WWW-Authenticate: Bearer" in head
                assert not {401, 403} & set(right)


async def test_the_control_api_is_not_there_beyond_loopback_whatever_is_shown(
    tmp_path: Path,
) -> None:
    make_key(tmp_path)
    async with a_house(tmp_path, door=EXPOSED) as house:
        control = [(m, p) for m, p in routes(house.app) if p.startswith("/api/")]
        assert len(control) > 5
        for method, path in [*control, ("GET", "/api/v1/openapi.json"), ("GET", "/api/nowhere")]:
            for line in (f"Authorization: Bearer {TOKEN}", *KEY_HEADERS, "X: y"):
                got, _, body = await said(house, method, path, line, body="{}")

                assert (method, path, got, code_of(body)) == (method, path, 403, "forbidden")


async def test_programs_of_this_machine_need_no_key_while_others_do(tmp_path: Path) -> None:
    make_key(tmp_path)
    async with a_house(tmp_path, door=EXPOSED) as house:
        assert await status(house, "/v1/models", to="127.0.0.1") == 200
        assert await status(house, "/v1/models", to=BESIDE) == 401
        named = "Host: mybox.lan"  # as a proxy of this machine would pass on
        assert await status(house, "/v1/models", named, to="127.0.0.1") == 401
        assert await status(house, "/v1/models", named, KEY_HEADERS[0], to="127.0.0.1") == 200


async def test_with_auth_always_they_need_one_too_and_the_daemons_token_is_one(
    tmp_path: Path,
) -> None:
    make_key(tmp_path)
    async with a_house(tmp_path, door=SHARED) as house:
        here = "127.0.0.1"
        for method, path in routes(house.app):
            is_open = path in {"/healthz", "/readyz"} or path.startswith("/api/")
            got, _, _ = await said(house, method, path, to=here, body="{")
            assert is_open or (path, got) == (path, 401)
        for line in (*KEY_HEADERS, f"Authorization: Bearer {TOKEN}"):
            assert await status(house, "/v1/models", line, to=here) == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mybox.lan", 200),
        ("mybox.lan:PORT", 200),
        ("127.0.0.2:PORT", 200),
        ("localhost:PORT", 200),
        ("evil.example", 403),
        ("evil.example:PORT", 403),
        ("127.0.0.3:PORT", 403),
        ("0.0.0.0:PORT", 403),
        ("127.0.0.2", 403),
        ("mybox.lan.evil.example", 403),
    ],
)
async def test_a_name_that_is_not_listed_is_refused_beyond_loopback_too(
    host: str, expected: int, tmp_path: Path
) -> None:
    make_key(tmp_path)
    async with a_house(tmp_path, door=EXPOSED) as house:
        line = f"Host: {host.replace('PORT', str(house.port))}"

        assert await status(house, "/v1/models", line, KEY_HEADERS[1]) == expected


@pytest.mark.parametrize("door", [EXPOSED, SHARED], ids=["exposed", "shared"])
async def test_two_keys_that_differ_are_refused(door: dict[str, object], tmp_path: Path) -> None:
    make_key(tmp_path)
    make_key(tmp_path, "bob", "sk-local-bob")
    to = str(door.get("listen", "127.0.0.1"))
    async with a_house(tmp_path, door=door) as house:
        both = (KEY_HEADERS[0], "X-Api-Key: sk-local-bob")

        assert await status(house, "/v1/models", *both, to=to) == 401
        assert await status(house, "/v1/models", *KEY_HEADERS, to=to) == 200


async def test_a_key_that_is_made_changed_or_taken_away_counts_from_the_next_request(
    tmp_path: Path,
) -> None:
    file, ask = tmp_path / "state" / "keys.json", ("/v1/models", KEY_HEADERS[0])
    async with a_house(tmp_path, door=SHARED) as house:
        before = await status(house, *ask, to="127.0.0.1")
        make_key(tmp_path)
        made = await status(house, *ask, to="127.0.0.1")
        with changing_keys(file) as keys:
            write_keys(file, with_new_secret(keys, "ann", hash_of("new"), time.time()))
        rotated = await status(house, *ask, to="127.0.0.1")
        new = await status(house, "/v1/models", "X-Api-Key: new", to="127.0.0.1")
        with changing_keys(file) as keys:
            write_keys(file, without_key(keys, "ann"))
        removed = await status(house, "/v1/models", "X-Api-Key: new", to="127.0.0.1")

    assert (before, made, rotated, new, removed) == (401, 200, 401, 200, 401)


async def test_while_the_keys_cannot_be_read_nobody_has_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_key(tmp_path)
    file = tmp_path / "state" / "keys.json"
    async with a_house(tmp_path, door=SHARED) as house:
        first = await status(house, "/v1/models", KEY_HEADERS[0], to="127.0.0.1")
        file.chmod(0o644)
        opened = await status(house, "/v1/models", KEY_HEADERS[0], to="127.0.0.1")
        file.chmod(0o600)
        closed = await status(house, "/v1/models", KEY_HEADERS[0], to="127.0.0.1")
        file.write_text("{")
        broken = await status(house, "/v1/models", KEY_HEADERS[0], to="127.0.0.1")

    assert (first, opened, closed, broken) == (200, 401, 200, 401)
    assert "no API key is accepted" in caplog.text


async def test_a_key_that_has_expired_is_refused_and_named(tmp_path: Path) -> None:
    make_key(tmp_path, expires=time.time() - 1.0)
    make_key(tmp_path, "bob", "sk-local-bob", expires=time.time() + 3600.0)
    async with a_house(tmp_path, door=EXPOSED) as house:
        got, _, body = await said(house, "GET", "/v1/models", KEY_HEADERS[0])

        assert (got, "'ann' has expired" in body) == (401, True)
        assert await status(house, "/v1/models", "X-Api-Key: sk-local-bob") == 200


async def test_a_key_with_a_rate_is_told_when_it_may_ask_again(tmp_path: Path) -> None:
    make_key(tmp_path, per_minute=3)
    async with a_house(tmp_path, door=EXPOSED) as house:
        ask = ("GET", "/v1/models", KEY_HEADERS[1])
        answers = [await said(house, *ask) for _ in range(5)]
        unmetered = await status(house, "/v1/models", to="127.0.0.1")

    assert [got for got, _, _ in answers] == [200, 200, 200, 429, 429]
    _, head, body = answers[-1]
    [after] = [line.split()[1] for line in head.splitlines() if line.startswith("Retry-After:")]
    assert 1 <= int(after) <= 60
    assert "x-should-retry: true" in head
    assert code_of(body) == "rate_exceeded"
    assert unmetered == 200


async def test_a_chat_beyond_loopback_is_served_to_who_has_a_key(tmp_path: Path) -> None:
    make_key(tmp_path)
    body = json.dumps(asking())
    async with a_house(tmp_path, door=EXPOSED) as house:
        await house.ready(a_plan())
        refused, _, _ = await said(house, "POST", CHAT, body=body)
        served, _, text = await said(house, "POST", CHAT, KEY_HEADERS[1], body=body)

        assert (refused, served, len(house.chats())) == (401, 200, 1)
        assert "word" in text


async def test_the_command_line_chats_with_the_daemons_token_where_everybody_needs_a_key(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path, door=SHARED) as house:
        await house.ready(a_plan())
        file = DaemonFile(pid=1, started=0.0, port=house.port, token=TOKEN, version="1")
        body = json.dumps({**asking(chunks=2), "stream": True}).encode()

        lines = await anyio.to_thread.run_sync(lambda: list(DaemonClient(file).chat(body)))

    assert b"".join(lines).count(b" word") == 2


async def test_no_key_is_in_a_log_or_in_what_an_engine_gets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    make_key(tmp_path)
    async with a_house(tmp_path, door=EXPOSED) as house:
        await house.ready(a_plan())
        for line in (*KEY_HEADERS, "X-Api-Key: sk-local-wrong", "X-Api-Key: sk-local-wr\x01ong"):
            await said(house, "POST", CHAT, line, body=json.dumps(asking()))
            await said(house, "POST", CHAT, line, body="{")
        happened = json.dumps(house.happened())
        logs = "".join(file.read_text() for file in tmp_path.glob("*.log"))

    for text in (caplog.text, happened, logs):
        assert SECRET not in text
        assert hash_of(SECRET) not in text
        assert "sk-local-wr" not in text


@pytest.fixture
def installation() -> Iterator[Installation]:
    """One of its own, whose daemon listens for others."""
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        here = Installation(Path(home), LOCALLLM_LISTEN=BESIDE)
        yield here
        here.close()


@contextmanager
def a_daemon(installation: Installation) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "localllm.daemon"]
    with subprocess.Popen(
        command, env=installation.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.timeout(60)
def test_a_daemon_for_others_does_not_start_without_a_key_and_with_one_says_what_it_exposes(
    installation: Installation,
) -> None:
    with a_daemon(installation) as process:
        _, refusal = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert refusal.startswith("config_error: The daemon does not listen on 127.0.0.2 without")
    assert "localllm key create" in refusal

    secret = installation.ok("key", "create", "ann").strip()
    with a_daemon(installation) as process:
        wait_until((installation.state / "daemon.json").exists, "it listens")
        asked = urllib.request.Request(
            f"http://{BESIDE}:{installation.port}/v1/models", headers={"X-Api-Key": secret}
        )
        with urllib.request.urlopen(asked, timeout=DEADLINE_S) as answer:
            assert answer.status == 200
        document = installation.json("status")
        process.terminate()
        _, log = process.communicate(timeout=DEADLINE_S)
    assert document["models"] == []
    assert f"reachable by others at http://{BESIDE}:{installation.port}" in log
    assert "API key (1 valid)" in log
    assert secret not in log


@pytest.mark.timeout(60)
def test_whoever_starts_it_is_told_what_others_reach_or_why_it_does_not_start(
    installation: Installation,
) -> None:
    refused = installation.run("run", "/nowhere.gguf", "hi")
    installation.ok("key", "create", "ann")
    started = installation.run("run", "/nowhere.gguf", "hi")

    assert (refused.code, started.code) == (2, 5)
    assert "does not listen on 127.0.0.2 without an API key" in refused.err
    assert (
        f"reachable by others at http://{BESIDE}:{installation.port}, not encrypted" in started.err
    )
