"""Is all well, and what is it doing? One look, no key."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import DataTable, Static

from localllm.api.now_views import NowView
from localllm.tui.widgets.devices import Devices
from localllm.tui.widgets.first import FirstChoices
from localllm.tui.widgets.header import StatusHeader
from localllm.tui.widgets.key_line import KeyLine
from localllm.tui.widgets.models import Models
from localllm.tui.widgets.notices import Notices
from localllm.tui.widgets.requests import Requests
from localllm.tui.world import World

_NONE_YET = "No requests yet."
_NO_REQUESTS = f"{_NONE_YET} 5 chats with what is served, 6 points an agent at it."
_LOOKING = "looking for the daemon"
_NONE = "No daemon is running. S starts one, which goes on when this screen is closed."
_SILENT = "A daemon is running, and does not answer: localllm doctor finds out why."


@dataclass
class RequestChosen(Message):
    """Somebody wants to see all of it."""

    request: str


class Body(VerticalScroll, can_focus=False):
    """Scrolls where a window is very low; keys are for what is in it."""


class Dashboard(Screen[None]):
    """Devices, models and requests; above them what is wrong."""

    CSS = """
    Dashboard {
        #body { height: 1fr; scrollbar-size-vertical: 1; }
        #body.-lost { opacity: 50%; }
        #machine { height: auto; }
        #no-requests { height: 1fr; padding: 0 1; color: $foreground-muted; }
        #traffic { height: 1fr; min-height: 6; }
        #looking { height: 1fr; content-align: center middle; color: $foreground-muted; }
        Devices, Models { margin-bottom: 1; }
    }
    Dashboard.-short {
        Devices, Models { margin-bottom: 0; }
    }
    Dashboard.-tall {
        Devices, Models, Requests, #no-requests, FirstChoices { border: round $primary 50%; border-title-style: bold; border-title-color: $foreground; }
        Devices, Models { margin-bottom: 0; }
    }
    """

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield Notices(id="notices")
        with Body(id="body"):
            yield Static(_LOOKING, id="looking", markup=False)
            with Vertical(id="machine"):
                yield Devices(id="devices")
                yield Models(id="models")
            with Vertical(id="traffic"):
                yield Static(_NO_REQUESTS, id="no-requests", markup=False)
                yield Requests(id="requests")
        yield KeyLine()

    def on_mount(self) -> None:
        for name in ("devices", "models", "requests"):
            self.query_one(f"#{name}").border_title = name
        self.query_one("#no-requests").border_title = "requests"
        self._world: World | None = None
        self.watch(self.app, "world", self.show)

    def on_screen_resume(self) -> None:
        if self._world is not None:
            self._draw(self._world)

    def show(self, world: World) -> None:
        """Draw the world, unless nobody sees it."""
        self._world = world
        if self in self.app.screen_stack:
            self._draw(world)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Show all of a request."""
        if event.row_key.value is not None:
            self.post_message(RequestChosen(event.row_key.value))

    def _draw(self, world: World) -> None:
        self.query_one("#body").set_class(world.lost_since is not None, "-lost")
        looking = self.query_one("#looking", Static)
        looking.display = world.now is None
        self.query_one("#machine").display = world.now is not None
        self.query_one("#traffic").display = world.now is not None
        if world.now is None:
            looking.update(_why_nothing(world))
            return
        self.query_one(Notices).show(world)
        self.query_one(Devices).show(world)
        self.query_one(Models).show(world)
        self._draw_traffic(world.now)

    def _draw_traffic(self, now: NowView) -> None:
        """Where nothing is served, offer what could be; else show who asks for what."""
        is_first, first = not now.models, self.query(FirstChoices)
        if is_first and not first:
            self.query_one("#traffic").mount(FirstChoices(id="first"), before=0)
        for one in first:
            one.display = is_first
        self._draw_requests(now, is_shown=not is_first)

    def _draw_requests(self, now: NowView, *, is_shown: bool) -> None:
        """As long as there are none, say how there would be some; then no key is about them."""
        requests, none = self.query_one(Requests), self.query_one("#no-requests", Static)
        has_any = bool(now.requests.live or now.requests.recent)
        none.display, requests.display = is_shown and not has_any, is_shown and has_any
        none.update(
            _NO_REQUESTS if any(one.view.state == "ready" for one in now.models) else _NONE_YET
        )
        requests.show(now.requests)
        if requests.display and self.focused is None:
            requests.focus()
        elif requests.has_focus and not requests.display:
            self.set_focus(None)


def _why_nothing(world: World) -> str:
    if world.lost_since is None:
        return _LOOKING
    return _NONE if world.is_without else _SILENT
