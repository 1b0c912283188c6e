"""Takes pictures of every screen and of every rare state, at three sizes, from a scripted daemon.

The same picture comes out each time: the scene's clock stands still, what the screen measures is
measured by a clock that counts, the zone is UTC, cursors do not blink, and a picture is taken once
nothing is under way. `scripts/screen_snapshots` keeps the pictures, `tests/tui/test_snapshots.py`
compares them.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input, TextArea

from localllm.tui.chatting import Chatting
from localllm.tui.world import World, seen
from tests.fakes.a_screen import app_for, until, until_shown
from tests.fakes.scene import Scene
from tests.fakes.scene_parts import AT
from tests.fakes.screen_svg import Ink, Rows, Run, render_svg
from tests.fakes.scripted_daemon import ScriptedDaemon

SIZES = ((80, 24), (120, 40), (200, 60))
_LOOK_S = 0.5
_LOOKS = 120
"""Behind it, for the sparklines."""

_RECENT = 50
"""Requests that are over of which the screen asks."""

_NEVER_OVER = {"log", "look"}
"""Work that goes on as long as its screen is there."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One start of the screen, which goes from picture to picture."""

    pilot: Pilot[Any]
    daemon: ScriptedDaemon

    @property
    def app(self) -> Any:
        """A `Localllm`; steps look behind its scenes now and then."""
        return self.pilot.app

    @property
    def scene(self) -> Scene:
        return self.daemon.scene

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def see(self, *texts: str) -> None:
        await until_shown(self.pilot, *texts)

    async def go(self, *keys: str, see: Sequence[str]) -> None:
        """Press keys, and wait until all of these texts are there."""
        await self.press(*keys)
        await self.see(*see)


Step = Callable[[Visit], Awaitable[None]]
"""Goes from where the step before it has left the screen to what is to be seen."""


@dataclass(frozen=True, slots=True)
class Show:
    """Pictures that one start of the screen gives, in their order."""

    name: str
    scene: Callable[[], Scene]
    steps: Mapping[str, Step]
    sizes: Sequence[tuple[int, int]] = SIZES
    no_color: bool = False
    under_way: bool = False
    """Something goes on while its pictures are taken."""


@dataclass(frozen=True, slots=True)
class Part:
    """A show at one size."""

    show: Show
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.show.name}-{self.size[0]}x{self.size[1]}"

    @property
    def names(self) -> list[str]:
        """Of its pictures, as they are kept: a folder a size."""
        return [f"{self.size[0]}x{self.size[1]}/{step}.svg" for step in self.show.steps]


async def take_pictures(part: Part, folder: Path) -> dict[str, str]:
    """Start the screen, and take the part's pictures: SVG by name.

    Args:
        folder: For the daemon's file.
    """
    scene = part.show.scene()
    scene.at = AT
    world = _watched_for_a_while(scene)
    pictures: dict[str, str] = {}
    with _same_everywhere(no_color=part.show.no_color), ScriptedDaemon(scene, folder) as daemon:
        app = app_for(daemon, no_color=part.show.no_color, clock=scene.clock)
        app.animation_level = "none"
        async with app.run_test(size=part.size) as pilot:
            await until(pilot, lambda: app.world.now is not None, "a look")
            app.world = world
            visit = Visit(pilot, daemon)
            for name, step in zip(part.names, part.show.steps.values(), strict=True):
                await step(visit)
                rows = await _at_rest(visit, under_way=part.show.under_way)
                pictures[name] = render_svg(rows, part.size[0])
    return pictures


def _watched_for_a_while(scene: Scene) -> World:
    """What a screen knows that was open before: the model's speed goes up and down."""
    world, models = World(), scene.models
    ended = [one.generated for one in models]
    for ago in range(_LOOKS, -1, -1):
        scene.at = AT - ago * _LOOK_S
        scene.models = [
            _changed(one, generated=max(0, end - _generated_in(ago, one.view.speed.measured_tps)))
            for one, end in zip(models, ended, strict=True)
        ]
        world = seen(world, scene.now(_RECENT))
    return world


def _changed(model: Any, **fields: object) -> Any:
    return type(model)(**{name: getattr(model, name) for name in model.__struct_fields__} | fields)


def _generated_in(looks: int, tps: float | None) -> int:
    """Tokens of the last so many looks: it works faster and faster for 32, and rests for 16."""
    shares = [0.0 if n % 48 >= 32 else 1.0 - 0.02 * (n % 48) for n in range(looks)]
    return round(sum(shares) * _LOOK_S * (tps or 0.0))


@contextmanager
def _same_everywhere(*, no_color: bool) -> Iterator[None]:
    """No zone, no colours and no clock of the machine that this runs on."""
    ticks = itertools.count()
    chatting = partial(Chatting, clock=lambda: next(ticks) / 32)
    try:
        with (
            mock.patch.dict(os.environ, {"TZ": "UTC", "NO_COLOR": "1"}),
            mock.patch("localllm.tui.screens.chat.Chatting", chatting),
        ):
            if not no_color:
                del os.environ["NO_COLOR"]
            time.tzset()
            yield
    finally:
        time.tzset()


async def _at_rest(visit: Visit, *, under_way: bool) -> Rows:
    """Wait until the screen knows what the daemon says, nothing is under way, and it stays as it is."""
    taken: list[Rows] = []
    app = visit.app

    def is_at_rest() -> bool:
        for field in (*app.screen.query(Input), *app.screen.query(TextArea)):
            field.cursor_blink = False
        taken.append(_read_rows(app))
        groups = {one.group for one in app.workers if one.is_running}
        is_busy = groups - _NEVER_OVER and not under_way
        knows_all = app.world.now == visit.scene.now(_RECENT)
        return knows_all and not is_busy and len(taken) > 1 and taken[-1] == taken[-2]

    await until(visit.pilot, is_at_rest, "the screen at rest")
    return taken[-1]


def _read_rows(app: Any) -> Rows:
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    return [_runs(Strip.join([*strips])) for strips in update.strips]


def _runs(strip: Strip) -> list[Run]:
    runs = [Run(text, _ink(style or Style())) for text, style, _ in strip.simplify() if text]
    return [run for run in runs if cell_len(run.text)]


def _ink(style: Style) -> Ink:
    marks = ("bold", "italic", "underline", "strike")
    colour, ground = _hex(style.color, is_ground=False), _hex(style.bgcolor, is_ground=True)
    if style.reverse:
        colour, ground = ground, colour
    return Ink(colour, ground, frozenset(mark for mark in marks if getattr(style, mark)))


def _hex(colour: Color | None, *, is_ground: bool) -> str:
    known = Color.default() if colour is None else colour
    return known.get_truecolor(SVG_EXPORT_THEME, foreground=not is_ground).hex
