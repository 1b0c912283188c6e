"""The screen in a real browser: drawn, answering keys, with nothing fetched from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from yarl import URL

from tests.fakes import scenes
from tests.fakes.a_web_screen import a_web_screen
from tests.fakes.chromium import a_page
from tests.fakes.installation import Installation
from tests.fakes.scripted_daemon import ScriptedDaemon

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(60),
]
BLANK_BYTES = 20_000
"""A picture of nothing but one colour takes fewer, one of a screen many times as many."""


def keep(name: str, picture: bytes) -> bytes:
    """Leave a picture for people where LOCALLLM_PICTURES says."""
    if folder := os.environ.get("LOCALLLM_PICTURES"):
        Path(folder, name).write_bytes(picture)
    return picture


async def test_chromium_shows_the_screen_and_loads_nothing_from_elsewhere(
    install: Callable[..., Installation],
) -> None:
    installation = install()
    installation.state.mkdir(parents=True)
    with (
        ScriptedDaemon(scenes.rtx5090(), installation.state),
        a_web_screen(installation) as (process, address),
    ):
        async with a_page() as page:
            await page.ask("Page.navigate", url=address)
            await page.until_shown("qwen3-32b", "generating")
            await page.until_sent('["focus"]')  # nobody had to click
            dashboard = keep("dashboard.png", await page.until_still())

            await page.press("2")
            await page.until_shown("quant", "verdict")
            plan = keep("plan.png", await page.until_still())

            await page.be(800, 480)
            await page.press("1")
            await page.until_sent('["resize",{"width":88,"height":24}]')
            small = keep("small.png", await page.until_still())

            await page.press("q")
            await page.until_true("document.body.classList.contains('-closed')")
            keep("ended.png", await page.picture())

            assert min(map(len, (dashboard, plan, small))) > BLANK_BYTES
            assert dashboard != plan
            assert page.complaints == []
            assert len(page.requests) > 5
            assert {URL(one).authority for one in page.requests} == {URL(address).authority}
            assert "token" not in await page.evaluate("location.href")
            assert await page.evaluate("document.cookie") == ""
            assert await page.evaluate("[...document.fonts].some(one => one.status == 'loaded')")
        assert process.poll() is None
