"""The two lines on top of every screen: how the daemon is, and which screens there are."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from localllm.api.now_views import NowView
from localllm.tui.words import duration_of, percent, plain
from localllm.tui.world import World

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
        dock: top; height: 2; background: $panel;
        & > Static { height: 1; width: 1fr; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #header-status.-lost { background: $error; color: $background; text-style: bold; }
    }
    """

    def compose(self) -> ComposeResult:
        yield Static("localllm", id="header-status", markup=False)
        yield Static(render_tabs(self._mode()), id="header-tabs")

    def on_mount(self) -> None:
        self._shown: Content | None = None
        self.watch(self.app, "world", self.show)

    def _mode(self) -> str:
        """Of the screen that it is on."""
        for mode, kind in self.app.MODES.items():
            if isinstance(kind, type) and isinstance(self.screen, kind):
                return mode
        return ""

    def show(self, world: World) -> None:
        """Draw it, if it is another than is drawn."""
        content = render_status(world)
        if self._shown is not None and content.is_same(self._shown):
            return
        self._shown = content
        status = self.query_one("#header-status", Static)
        status.set_class(world.lost_since is not None, "-lost")
        status.update(content)


def render_status(world: World) -> Content:
    """Say how the daemon is."""
    if world.lost_since is not None:
        return Content(_lost(world, world.lost_since))
    if world.now is None:
        return Content("localllm: looking for the daemon")
    return _connected(world.now)


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
    return f"no daemon since {at}, looking for it (S starts one): {why}"


def _connected(now: NowView) -> Content:
    daemon = now.daemon
    parts = [
        Content.styled(f"localllm {plain(daemon.version)}", "bold"),
        Content(plain(daemon.endpoint)),
        Content(_asked(now)),
        *_fetched(now),
        Content(f"up {_coarse(daemon.uptime)}"),
        Content.styled(plain(now.host), "$foreground-muted"),
    ]
    return Content(_GAP).join(parts)


def _coarse(seconds: float) -> str:
    """To the minute: a line that changes every second is drawn every second."""
    return duration_of(seconds // 60 * 60) if seconds >= 60 else "under a minute"  # noqa: PLR2004


def _asked(now: NowView) -> str:
    waiting = sum(one.phase == "waiting" for one in now.requests.live)
    active = len(now.requests.live) - waiting
    return f"{active} active, {waiting} waiting"


def _fetched(now: NowView) -> list[Content]:
    """Say how far all downloads are that are under way."""
    under_way = [pull for pull in now.pulls if pull.state == "fetching" and pull.size]
    if not under_way:
        return []
    share = sum(pull.here for pull in under_way) / sum(pull.size for pull in under_way)
    return [Content(f"fetching {percent(share)}")]
