"""The dashboard of a made-up machine on a made-up evening, as the screen itself draws it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from record_up_cells import Screen, read_row

from localllm import __version__
from localllm.api.now_views import ModelNowView, NowView
from localllm.api.request_views import RequestView
from localllm.api.status_views import RequestsView, SavedView, SpeedView
from localllm.api.sync_client import DaemonClient, not_running
from localllm.tui.app import Localllm
from localllm.tui.source import Source
from tests.fakes.scene import Scene
from tests.fakes.scene_parts import (
    AT,
    a_daemon,
    a_device,
    a_model,
    a_part,
    a_probe,
    a_request,
    an_instance,
    gib,
    holding,
    over,
)

T = TypeVar("T")
COLUMNS, ROWS = 122, 36
_LOOKS, _LOOK_S = 120, 0.5
_LARGE, _SMALL = "qwen3.6-27b", "qwen3-8b"
_FIRST_TOKENS_S = (0.42, 0.31, 0.55, 0.38, 1.24, 0.47, 0.35, 0.29, 0.61, 0.44)
_LONG = 8_192
"""Shorter prompts are a title, for which an agent asks the small one."""

_AT_LARGE = {"model": _LARGE, "instance": f"{_LARGE}:q4_k_m:65536"}
_AT_SMALL = {"model": _SMALL, "instance": f"{_SMALL}:q4_k_m:8192"}


async def draw_dashboard() -> Screen:
    """Have the screen look at a minute of it, and take what it shows then."""
    app = Localllm(_Told(), clock=lambda: AT)
    async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
        views = list(_a_minute())
        for view in views:
            app.post_message(Localllm.Looked(view))
        while app.world.now is not views[-1]:
            await pilot.pause()
        await pilot.pause()
        strips = app.screen._compositor.render_strips(app.size)  # as Textual's own pictures do
        return tuple(read_row(strip) for strip in strips)


class _Told(Source):
    """Of no daemon: what it would say is told the screen by others."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), lambda: None)
        self._over = threading.Event()

    def ask(self, question: Callable[[DaemonClient], T]) -> T:
        """Wait until the screen is closed."""
        del question
        self._over.wait()
        raise not_running("this is a picture")

    def close(self) -> None:
        """End that."""
        self._over.set()


def _a_minute() -> Iterator[NowView]:
    """Two agents at work, and a third that comes in between; the last is what is drawn."""
    scene = _scene()
    large, small = scene.models
    daemon = msgspec.structs.replace(a_daemon(), version=__version__)
    made = 48_213.0
    for number in range(_LOOKS + 1):
        made += _speed(number) * _LOOK_S
        first = _FIRST_TOKENS_S[number // 2 % len(_FIRST_TOKENS_S)]
        scene.at = AT + (number - _LOOKS) * _LOOK_S
        scene.models = [_after(large, made, first), small]
        yield msgspec.structs.replace(scene.now(20), daemon=daemon)


def _after(model: ModelNowView, generated: float, first_token_s: float) -> ModelNowView:
    return msgspec.structs.replace(model, generated=round(generated), first_token=first_token_s)


def _speed(look: int) -> float:
    """Tokens a second of all answers together, as they come, go and get longer."""
    busy = 104 + 14 * math.sin(look / 2.1) + 11 * math.sin(look / 0.7)
    return busy * (0.5 if look % 11 in range(5, 7) else 0.2 if look % 23 in range(12, 15) else 1.0)


def _scene() -> Scene:
    """Sizes and speeds are what the planner says of this machine."""
    probe = a_probe("rtx5090")
    large = an_instance(
        _LARGE,
        context=65_536,
        total=20.5,
        layers=65,
        current=True,
        kv_used=0.64,
        parallel=4,
        speed=SpeedView(predicted_tps=69.0, measured_tps=66.2, prefill_tps=3_390.0),
        requests=RequestsView(active=3, waiting=0, total=412),
    )
    small = an_instance(
        _SMALL,
        context=8_192,
        total=6.3,
        layers=36,
        pinned=True,
        kv_used=0.07,
        speed=SpeedView(predicted_tps=231.0, measured_tps=218.0, prefill_tps=11_200.0),
        requests=RequestsView(active=0, waiting=0, total=96),
    )
    held = [a_part(large, 15.0, 4.6, 0.9), a_part(small, 4.3, 1.1, 0.9)]
    work = {"utilization": 0.96, "power": 487.0, "power_limit": 575.0, "temperature": 66}
    host = a_device(probe, "cpu", utilization=0.07)
    return Scene(
        hardware=probe,
        host="AMD Ryzen 9 9950X, Linux",
        devices=[
            holding(a_device(probe, "cuda:0", **work), held, others=gib(0.9)),
            holding(host, [], others=gib(11.4)),
        ],
        models=[a_model(large), a_model(small, generated=0, first_token=0.09)],
        live=_live(),
        recent=list(_recent()),
        saved=SavedView(seconds=2_847.0, tokens=9_204_311, day="2026-11-29"),
    )


def _live() -> list[RequestView]:
    reads = {"generated_tokens": 0, "decode_tps": None, "first_token": None}
    return [
        a_request(1, **_AT_LARGE, elapsed=21.4, generated_tokens=1_093, decode_tps=57.8),
        a_request(
            2,
            **_AT_LARGE,
            client="codex/0.61",
            elapsed=8.2,
            prompt_tokens=31_204,
            cached_tokens=30_720,
            prompt_read=31_204,
            generated_tokens=402,
            decode_tps=54.9,
        ),
        a_request(
            3,
            **_AT_LARGE,
            client="opencode/1.2",
            phase="prefill",
            elapsed=2.1,
            prompt_tokens=24_310,
            cached_tokens=16_384,
            prompt_read=21_900,
            **reads,
        ),
    ]


def _recent() -> Iterator[RequestView]:
    """Newest first: prompt, cached, answer, speed and seconds of each."""
    rows = (
        ("claude-cli/2.1.330", 18_020, 17_408, 611, 54.1, 12.0),
        ("codex/0.61", 30_711, 30_208, 188, 52.7, 4.3),
        ("claude-cli/2.1.330", 17_390, 16_896, 940, 54.4, 18.1),
        ("opencode/1.2", 1_204, 0, 12, 216.4, 0.2),
        ("claude-cli/2.1.330", 16_871, 16_384, 77, 54.9, 2.2),
        ("codex/0.61", 30_190, 29_696, 1_406, 50.3, 28.9),
        ("claude-cli/2.1.330", 16_350, 15_872, 233, 55.2, 5.0),
        ("codex/0.61", 29_655, 29_184, 359, 53.8, 7.4),
        ("claude-cli/2.1.330", 15_840, 15_360, 1_204, 54.0, 23.1),
        ("claude-cli/2.1.330", 15_332, 14_848, 128, 55.3, 3.1),
        ("codex/0.61", 29_160, 28_672, 96, 54.6, 2.5),
        ("claude-cli/2.1.330", 14_823, 14_336, 702, 54.8, 13.6),
        ("codex/0.61", 28_640, 28_160, 815, 52.2, 16.4),
        ("claude-cli/2.1.330", 14_311, 13_824, 54, 55.6, 1.7),
    )
    for number, (client, prompt, cached, made, tps, elapsed) in enumerate(rows, 4):
        where = _AT_SMALL if prompt < _LONG else _AT_LARGE
        yield over(
            number,
            **where,
            client=client,
            prompt_tokens=prompt,
            cached_tokens=cached,
            prompt_read=prompt,
            generated_tokens=made,
            decode_tps=tps,
            elapsed=elapsed,
        )
