"""The two lines on top of every screen: how the daemon is, and which screens there are."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from localllm.api.now_views import NowView
from localllm.tui.words import as_many_as_fit
from localllm.tui.world import World
from localllm.units import duration
from localllm.wording.figures import percent
from localllm.wording.plain import plain

TABS = (
    ("1", "dashboard", "Dashboard"),
    ("2", "plan", "Plan"),
    ("3", "downloads", "Downloads"),
    ("4", "logs", "Logs"),
    ("5", "chat", "Chat"),
    ("6", "agents", "Agents"),
)
"""Key, mode and name of each screen."""

_GAP = "  "


class StatusHeader(Vertical):
    """Says where and since when the daemon is, or since when and why it is lost."""

    DEFAULT_CSS = """
    StatusHeader {
        dock: top; height: auto; background: $panel;
        & > Static { height: 1; width: 1fr; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #header-status.-lost {
            height: auto; max-height: 3; text-wrap: wrap;
            background: $error; color: $background; text-style: bold;
        }
    }
    """

    def compose(self) -> ComposeResult:
        yield Static("localllm", id="header-status", markup=False)
        yield Static(render_tabs(self._mode()), id="header-tabs")

    def on_mount(self) -> None:
        self._shown: Content | None = None
        self._world = World()
        self.watch(self.app, "world", self.show)

    def on_resize(self) -> None:
        self.show(self._world)

    def _mode(self) -> str:
        """Of the screen that it is on."""
        for mode, kind in self.app.MODES.items():
            if isinstance(kind, type) and isinstance(self.screen, kind):
                return mode
        return ""

    def show(self, world: World) -> None:
        """Draw it, if it is another than is drawn."""
        self._world = world
        content = render_status(world, self.app.size.width - 2)
        if self._shown is not None and content.is_same(self._shown):
            return
        self._shown = content
        status = self.query_one("#header-status", Static)
        status.set_class(world.lost_since is not None, "-lost")
        status.update(content)


def render_status(world: World, width: int) -> Content:
    """Say how the daemon is: of what goes without saying as much as has room."""
    if world.lost_since is not None:
        return Content(_lost(world, world.lost_since))
    if world.now is None:
        return Content("localllm: looking for the daemon")
    return _connected(world.now, width)


def render_tabs(mode: str) -> Content:
    """Name the screens and their keys; a click goes there."""
    parts = [
        Content.from_markup(
            f"[@click=app.go('{one}')]{'[b reverse]' if one == mode else ''} {key} {name} [/]"
        )
        for key, one, name in TABS
    ]
    return Content(" ").join(parts)


def _lost(world: World, since: float) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(since))
    why = plain(world.why_lost or "it does not answer")
    if world.is_there:
        return f"no answer since {at}: {why}"
    return f"no daemon since {at}; S starts one, looking for it: {why}"


def _connected(now: NowView, width: int) -> Content:
    daemon = now.daemon
    name = f"localllm {plain(daemon.version)}"
    parts = [plain(daemon.endpoint), _asked(now), *_fetched(now)]
    parts += [f"up {_coarse(daemon.uptime)}", plain(now.host)]
    rest = as_many_as_fit(parts, _GAP, width - len(name) - len(_GAP))
    return Content.assemble((name, "bold"), _GAP, rest)


def _coarse(seconds: float) -> str:
    """To the minute: a line that changes every second is drawn every second."""
    return duration(seconds // 60 * 60) if seconds >= 60 else "under a minute"  # noqa: PLR2004


def _asked(now: NowView) -> str:
    waiting = sum(one.phase == "waiting" for one in now.requests.live)
    active = len(now.requests.live) - waiting
    return f"{active} active, {waiting} waiting"


def _fetched(now: NowView) -> list[str]:
    """Say how far all downloads are that are under way."""
    under_way = [pull for pull in now.pulls if pull.state == "fetching" and pull.size]
    if not under_way:
        return []
    share = sum(pull.here for pull in under_way) / sum(pull.size for pull in under_way)
    return [f"fetching {percent(share)}"]
