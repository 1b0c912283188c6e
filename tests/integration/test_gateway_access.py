"""Strangers at the door: raw requests to a real port, as no decent client would send them."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from tests.fakes.house import DEADLINE_S, LISTED, TOKEN, House, a_house

pytestmark = pytest.mark.anyio
NOWHERE = [("GET", "/"), ("GET", "/nowhere"), ("POST", "/v1/nowhere"), ("GET", "/index.html")]
BEARER = f"Authorization: Bearer {TOKEN}"


async def said(house: House, request: str | bytes) -> tuple[int, str, str]:
    """Send bytes as they are; return the answer's status, head and body."""
    raw = (
        request if isinstance(request, bytes) else request.replace("PORT", str(house.port)).encode()
    )
    with anyio.fail_after(DEADLINE_S):
        async with await anyio.connect_tcp("127.0.0.1", house.port) as stream:
            await stream.send(raw)
            text = b"".join([piece async for piece in stream])
    head, _, body = text.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def kind_of(path: str, body: str) -> str:
    """Read what an error is called, in the shape of the API that was called."""
    error = json.loads(body)["error"]
    return str(error["type"] if path.startswith("/v1/messages") else error["code"])


def a_request(method: str, target: str, *lines: str, version: str = "1.1", body: str = "") -> str:
    kind = ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    head = [f"{method} {target} HTTP/{version}", *lines, *kind, "Connection: close"]
    return "\r\n".join([*head, "", body])


def routes(app: web.Application) -> list[tuple[str, str]]:
    """Every method and path of the application, so that a new one is tested unasked."""
    found = {
        (r.method, r.resource.canonical.replace("{id}", "x"))
        for r in app.router.routes()
        if r.resource
    }
    assert len(found) > 10
    return sorted(found)


HERE = "Host: 127.0.0.1:PORT"
STRANGERS = {
    "a foreign host": a_request("{method}", "{path}", "Host: evil.example"),
    "a foreign host with our port": a_request("{method}", "{path}", "Host: evil.example:PORT"),
    "another port": a_request("{method}", "{path}", "Host: 127.0.0.1:1"),
    "0.0.0.0": a_request("{method}", "{path}", "Host: 0.0.0.0:PORT"),
    "a final dot": a_request("{method}", "{path}", "Host: localhost.:PORT"),
    "a mapped address": a_request("{method}", "{path}", "Host: [::ffff:127.0.0.1]:PORT"),
    "http/1.0 without host": a_request("{method}", "{path}", version="1.0"),
    "an absolute target": a_request("{method}", "http://127.0.0.1:PORT{path}", HERE),
    "an absolute target, foreign host": a_request("{method}", "http://localhost{path}", "Host: evil.example"),
    "a foreign target": a_request("{method}", "http://evil.example{path}", HERE),
    "a foreign origin": a_request("{method}", "{path}", HERE, "Origin: http://evil.example"),
    "origin null": a_request("{method}", "{path}", HERE, "Origin: null"),
    "an origin with our prefix": a_request("{method}", "{path}", HERE, "Origin: http://127.0.0.1:PORT.evil"),
    "two origins": a_request("{method}", "{path}", HERE, f"Origin: {LISTED}", f"Origin: {LISTED}"),
    "another site": a_request("{method}", "{path}", HERE, "Sec-Fetch-Site: cross-site"),
    "a foreign host for a web socket": a_request("GET", "{path}", "Host: evil.example", "Upgrade: websocket"),
    "a foreign origin for a web socket": a_request("GET", "{path}", HERE, "Origin: http://evil.example", "Upgrade: websocket"),
    "a neighbour's port": a_request("{method}", "{path}", HERE, "Sec-Fetch-Site: same-site"),
}  # fmt: skip


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS.keys())
async def test_a_stranger_is_refused_on_every_route_and_where_there_is_none(
    stranger: str, tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        for method, path in [*routes(house.app), *NOWHERE, ("OPTIONS", "/v1/models"), ("PUT", "/")]:
            request = stranger.replace("{method}", method).replace("{path}", path)
            request = request.replace("Connection", f"{BEARER}\r\nConnection")  # not even with it

            status, head, body = await said(house, request)

            assert (method, path, status) == (method, path, 403)
            assert method == "HEAD" or kind_of(path, body) in {"forbidden", "permission_error"}
            assert "access-control" not in head.lower()


@pytest.mark.parametrize(
    "lines",
    [
        [HERE, HERE],
        [HERE, "Host: evil.example"],
        ["Host: evil.example", HERE],
        [],
        ["Host:"],
        ["Host : 127.0.0.1:PORT"],
        [HERE, " evil.example"],
        [f"{HERE}\x00"],
        [HERE, "Content-Length: 2", "Transfer-Encoding: chunked"],
        [HERE, "Transfer-Encoding: chunked, identity"],
        [HERE, "Content-Length: +2"],
        [HERE, "X: " + "y" * 9000],
    ],
    ids=str,
)
async def test_a_head_that_two_readers_could_read_differently_is_served_to_nobody(
    lines: list[str], tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        for method, path in [("GET", "/v1/models"), ("POST", "/v1/chat/completions")]:
            status, _, body = await said(house, a_request(method, path, *lines))

            assert status in {400, 403}
            assert "small" not in body


async def test_the_control_api_wants_its_token_on_every_route(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        control = [(m, p) for m, p in routes(house.app) if p.startswith("/api/")]
        assert len(control) > 5
        for method, path in control:
            if path == "/api/v1/openapi.json":  # it tells nothing that is not public
                continue
            for lines in (
                [],
                ["Authorization: Bearer 7"],
                [f"X-Api-Key: {TOKEN}"],
                [f"Cookie: {TOKEN}"],
            ):
                for target in (path, f"{path}?token={TOKEN}"):
                    request = a_request(method, target, HERE, *lines, body="{}")

                    status, _, body = await said(house, request)

                    assert (method, target, status) == (method, target, 401)
                    assert method == "HEAD" or json.loads(body)["error"]["code"] == "unauthorized"


async def test_with_its_token_the_control_api_answers(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        status, _, body = await said(house, a_request("GET", "/api/v1/models", HERE, BEARER))

    assert (status, json.loads(body)) == (200, [])


@pytest.mark.parametrize(
    "path",
    [
        "/%61pi/v1/models",
        "/%61%70%69/%76%31/models",
        "/api/v1/%6dodels",
        "//api/v1/models",
        "/api//v1/models",
        "/./api/v1/models",
        "/x/../api/v1/models",
        "/v1/../api/v1/models",
        "/v1/%2e%2e/api/v1/models",
        "/v1/..%2fapi/v1/models",
        "/v1/models/../../api/v1/models",
        "/api%2fv1%2fmodels",
        "/%2561pi/v1/models",
        "/API/v1/models",
        "/api/v1/models/",
        "/api;x/v1/models",
        "/api\\v1\\models",
        "/?/../api/v1/models",
        "/#/../api/v1/models",
        "/v1/models#/api/v1/models",
        "/api/v1/models#",
        "/api/v1/models?",
        "/\u212api/v1/models",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
async def test_no_spelling_of_a_path_gets_around_the_token(
    method: str, path: str, tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        status, _, body = await said(house, a_request(method, path, HERE))

    open_path = path.startswith(("/v1/models#", "/?", "/#"))
    assert status in {400, 401, 404} or (open_path and status in {200, 405})
    assert body != "[]"  # what GET /api/v1/models would say


async def test_a_listed_origin_may_ask_after_a_preflight_and_nobody_else(tmp_path: Path) -> None:
    asked = ("Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true")
    async with a_house(tmp_path) as house:
        for _, path in [*routes(house.app), *NOWHERE]:
            for origin, status in ((LISTED, 204), ("http://127.0.0.1:PORT", 403), (None, 403)):
                lines = [HERE, *asked, *([f"Origin: {origin}"] if origin else [])]

                got, head, _ = await said(house, a_request("OPTIONS", path, *lines))

                granted = f"Access-Control-Allow-Origin: {LISTED}\r\n" in head
                assert (path, got, granted) == (path, status, status == 204)
                assert "*" not in head
                assert "Credentials" not in head
                assert "Private-Network" not in head


async def test_a_web_socket_is_offered_to_nobody(tmp_path: Path) -> None:
    key = "Sec-WebSocket-Key: aGVsbG8gd29ybGQhISEhIQ=="
    lines = (HERE, BEARER, "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
    async with a_house(tmp_path) as house:
        for _, path in [*routes(house.app), *NOWHERE]:
            request = a_request("GET", path, *lines).replace(
                "Connection: close", "Connection: Upgrade"
            )
            with anyio.fail_after(DEADLINE_S):
                async with await anyio.connect_tcp("127.0.0.1", house.port) as stream:
                    await stream.send(request.replace("PORT", str(house.port)).encode())
                    answer = await stream.receive()

            assert answer.startswith(b"HTTP/1.1 426 ")


async def test_every_answer_says_what_a_browser_may_not_do_with_it(tmp_path: Path) -> None:
    forbids = ("X-Content-Type-Options: nosniff", "X-Frame-Options: DENY", "Referrer-Policy: no-referrer",
               "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'")  # fmt: skip
    bad = ("Expect: something", f"X: {'y' * 9000}", "Content-Length: x")
    async with a_house(tmp_path) as house:
        for method, path in [*routes(house.app), *NOWHERE, ("PUT", "/v1/models")]:
            if path == "/api/v1/events":  # never ends
                continue
            for lines in (
                [HERE],
                [HERE, BEARER],
                ["Host: evil.example"],
                *([HERE, b] for b in bad),
            ):
                _, head, _ = await said(house, a_request(method, path, *lines))

                assert [line for line in forbids if line not in head] == []


async def test_an_unknown_path_and_a_wrong_method_are_said_in_openais_words(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        missing = await said(house, a_request("GET", "/v1/nowhere", HERE))
        wrong = await said(house, a_request("GET", "/v1/chat/completions", HERE))

    assert (missing[0], json.loads(missing[2])["error"]["code"]) == (404, "no_such_endpoint")
    assert (wrong[0], json.loads(wrong[2])["error"]["code"]) == (405, "wrong_method")
