"""Who gets to the screen in a browser: strangers, tokens, cookies."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.fakes.a_web_screen import Browser, a_browser, a_door

pytestmark = pytest.mark.anyio
STRANGERS = {
    "a foreign host": {"Host": "evil.example"},
    "a foreign host with our port": {"Host": "evil.example:PORT"},
    "another port": {"Host": "127.0.0.1:1"},
    "0.0.0.0": {"Host": "0.0.0.0:PORT"},
    "a foreign origin": {"Origin": "http://evil.example"},
    "a neighbour's origin": {"Origin": "http://127.0.0.1:1"},
    "our origin with an end": {"Origin": "http://127.0.0.1:PORT.evil"},
    "no origin at all": {"Origin": "null"},
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a neighbour's page": {"Sec-Fetch-Site": "same-site"},
}


def paths_of(browser: Browser) -> list[str]:
    inside = ["/", "/static/js/textual.js", "/own/page.css", "/nowhere"]
    return ["/", browser.address, "/nowhere", *(browser.folder + path for path in inside)]


async def status_of_a_socket(browser: Browser, **headers: str) -> int:
    """101 if it was opened."""
    try:
        async with browser.socket(**headers):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS.keys())
async def test_a_stranger_is_refused_everywhere_whatever_it_shows(
    stranger: dict[str, str], tmp_path: Path
) -> None:
    async with a_door(tmp_path) as browser:
        port = browser.host.partition(":")[2]
        stranger = {name: value.replace("PORT", port) for name, value in stranger.items()}

        refused = [(await browser.get(path, **stranger)).status for path in paths_of(browser)]

        assert set(refused) == {403}
        assert await status_of_a_socket(browser, **stranger) == 403


async def test_a_stranger_is_told_what_helps_here_and_not_what_would_at_the_daemon(
    tmp_path: Path,
) -> None:
    async with a_door(tmp_path) as browser:
        answer = await browser.get(f"{browser.folder}/", Host="127.0.0.1:1")

        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "why: the Host '127.0.0.1:1' is not" in answer.text
        assert "the same port on both sides" in answer.text
        assert "config.toml" not in answer.text


async def test_without_a_cookie_there_is_nothing_but_words(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser, a_browser(browser.address, let_in=False) as other:
        inside = [path for path in paths_of(browser) if path != browser.address]
        for path in [*inside, f"{browser.folder}/ws"]:
            answer = await other.get(path)

            assert (path, answer.status) == (path, 401)
            assert "the address that" in answer.text
            assert answer.headers["Content-Type"].startswith("text/plain")
        other.folder = browser.folder  # and sends an empty one
        assert await status_of_a_socket(other) == 401


async def test_a_wrong_token_lets_nobody_in_and_leaves_the_right_one_as_it_was(
    tmp_path: Path,
) -> None:
    async with a_door(tmp_path, let_in=False) as browser:
        for wrong in ("", "x", "x" * 43, "%ff%00", browser.address[-43:-1]):
            answer = await browser.get(f"/?token={wrong}")

            assert (answer.status, answer.cookies) == (401, ())
            assert "is not this screen's" in answer.text

        await browser.enter()


async def test_a_token_works_once(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        again = await browser.get(browser.address)

        assert (again.status, again.cookies) == (401, ())
        assert "it works once" in again.text
        assert browser.cookie.value not in again.text


async def test_a_look_ahead_does_not_use_the_token_up(tmp_path: Path) -> None:
    async with a_door(tmp_path, let_in=False) as browser:
        async with browser.session.head(browser.address) as answer:
            assert answer.status == 401

        await browser.enter()


async def test_the_token_leaves_the_address_for_a_cookie_that_scripts_and_other_ports_do_not_get(
    tmp_path: Path,
) -> None:
    async with a_door(tmp_path, let_in=False) as browser:
        answer = await browser.get(browser.address)

        (cookie,) = answer.cookies
        folder = answer.headers["Location"]
        assert (answer.status, "token" in folder) == (303, False)
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
        assert (cookie["path"], cookie["domain"], cookie["max-age"]) == (folder, "", "")
        assert len(folder) > 16  # no other server knows it, so none is sent the cookie
        assert cookie.value not in browser.address


async def test_no_other_port_can_set_a_cookie_that_hides_ours(tmp_path: Path) -> None:
    async with a_door(tmp_path) as first, a_door(tmp_path) as second:
        assert first.cookie.key != second.cookie.key  # whoever does not know it cannot take it
        hiding = f"{first.cookie.key}={first.cookie.value}; {second.cookie.key}=other; localllm=x"

        page = await first.get(f"{first.folder}/", Cookie=hiding)

        assert page.status == 200


async def test_it_may_be_called_localhost_too(tmp_path: Path) -> None:
    async with a_door(tmp_path, let_in=False) as browser:
        browser.address = browser.address.replace("127.0.0.1", "localhost")
        await browser.enter()

        page = await browser.get(f"{browser.folder}/")
        assert f"ws://{browser.host}{browser.folder}/ws" in page.text
        assert await status_of_a_socket(browser) == 101


async def test_a_socket_needs_cookie_and_origin_both(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        address = f"{browser.origin}{browser.folder}/ws"
        with pytest.raises(aiohttp.WSServerHandshakeError) as no_origin:
            await browser.session.ws_connect(address, headers=browser.headers())

        assert no_origin.value.status == 403
        assert await status_of_a_socket(browser, Cookie=f"{browser.cookie.key}=other") == 401
        assert await status_of_a_socket(browser) == 101


async def test_an_upgrade_elsewhere_is_refused_as_the_daemon_does(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        answer = await browser.get(f"{browser.folder}/", Upgrade="websocket", Connection="Upgrade")

        assert answer.status == 426


async def test_the_page_may_load_from_here_alone_and_names_nothing_else(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        page = await browser.get(f"{browser.folder}/")
        policy = page.headers["Content-Security-Policy"]

        sources = {word for part in policy.split("; ") for word in part.split()[1:]}
        assert sources == {"'none'", "'self'", "'unsafe-inline'", f"ws://{browser.host}"}
        assert "script-src 'self';" in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "http" not in page.text.replace('content="http', "").replace(browser.origin, "")
        assert browser.address.partition("=")[2] not in page.text


async def test_files_come_from_two_folders_and_no_other(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        for path in ("static/", "static", "static/../server.py", "static/%2e%2e/server.py", "own/"):
            assert (await browser.get(f"{browser.folder}/{path}")).status in {403, 404}
        script = await browser.get(f"{browser.folder}/static/js/textual.js")

        assert script.status == 200
        assert script.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_the_cookie_of_one_server_is_nothing_to_another(tmp_path: Path) -> None:
    async with a_door(tmp_path) as first, a_door(tmp_path) as second:
        first.cookie = second.cookie

        assert (await first.get(f"{first.folder}/")).status == 401
        assert await status_of_a_socket(first) == 401
