"""All of one request; looked at anew until it is over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from localllm.api.parting_views import PartingView
from localllm.api.request_views import RequestDetailView
from localllm.errors import LocalLLMError
from localllm.tui.source import Source
from localllm.tui.telling import told
from localllm.tui.widgets.key_line import KeyLine
from localllm.wording.figures import DASH, count_of, duration_of, percent, speed_of
from localllm.wording.plain import plain

_LOOK_EVERY_S = 1.0
_OVER = {"done", "failed", "cancelled"}
_LABEL_COLUMNS = 16


class RequestScreen(ModalScreen[None]):
    """Lies over the dashboard; escape goes back."""

    CSS = """
    RequestScreen { align: center middle; }
    RequestScreen #request {
        width: 90%; max-width: 110; height: auto; max-height: 90%;
        border: round $primary; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Back", id="request-back", tooltip="Close this")
    ]

    @dataclass
    class Found(Message):
        """What the daemon says of it."""

        answer: RequestDetailView | LocalLLMError

    def __init__(self, source: Source, request: str) -> None:
        super().__init__()
        self._source = source
        self._request = request
        self._asking = False
        self._shown = Content("")

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="request"):
            yield Static("asking for it", id="request-text", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one("#request").border_title = "request"
        self._look()
        self._timer = self.set_interval(_LOOK_EVERY_S, self._look)

    def on_request_screen_found(self, message: Found) -> None:
        """Draw it; of one that is over nothing more comes."""
        self._asking = False
        answer = message.answer
        if isinstance(answer, LocalLLMError):
            self._draw(Content.styled(told(answer), "$error"))
            return
        if answer.phase in _OVER:
            self._timer.stop()
        self._draw(render_request(answer))

    def _draw(self, content: Content) -> None:
        if not content.is_same(self._shown):
            self._shown = content
            self.query_one("#request-text", Static).update(content)

    def _look(self) -> None:
        if not self._asking:
            self._asking = True
            self.run_worker(self._ask, thread=True, group="request")

    def _ask(self) -> None:
        answer = self._source.answer(lambda daemon: daemon.request(self._request))
        self.post_message(self.Found(answer))


def render_request(request: RequestDetailView) -> Content:
    """Draw all there is, a line a fact; what is unknown is a dash."""
    lines = [_line(label, value) for label, value in _facts(request)]
    if request.parting is not None:
        lines += [Content(""), *_parting(request.parting)]
    return Content("\n").join(lines)


def _facts(request: RequestDetailView) -> list[tuple[str, str | None]]:
    return [
        ("id", request.id),
        ("phase", request.phase),
        ("began", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(request.began_at))),
        ("client", request.client),
        ("conversation", request.conversation),
        ("API key", request.key),
        ("asked with", f"{request.api}{', streamed' if request.stream else ''}"),
        ("asked for", request.asked),
        ("answered by", request.model),
        ("instance", request.instance),
        ("engine", request.engine),
        *_figures(request),
        ("status", None if request.status is None else str(request.status)),
        ("error", request.error),
        ("taken out", ", ".join(request.removed) or "nothing"),
        ("prefix", "broken in its middle" if request.prefix_broken else "goes on"),
    ]


def _figures(request: RequestDetailView) -> list[tuple[str, str | None]]:
    cached = count_of(request.cached_tokens)
    if request.cached_tokens is not None and request.prompt_tokens:
        cached += f" ({percent(request.cached_tokens / request.prompt_tokens)})"
    return [
        ("prompt", f"{count_of(request.prompt_tokens)} tokens"),
        ("of it cached", cached),
        ("read so far", count_of(request.prompt_read)),
        ("generated", f"{request.generated_tokens:,} tokens"),
        ("of it thought", count_of(request.reasoning_tokens)),
        ("waited", duration_of(request.wait)),
        ("first token", duration_of(request.first_token)),
        ("speed", speed_of(request.decode_tps)),
        ("longest gap", duration_of(request.longest_gap)),
        ("elapsed", duration_of(request.elapsed)),
    ]


def _parting(parting: PartingView) -> list[Content]:
    return [
        Content.styled(plain(parting.says), "bold $warning"),
        _line("in", parting.part),
        _line("was", parting.before),
        _line("is", parting.now),
        _line("read again", f"{count_of(parting.again)} tokens"),
        _line("fix", parting.fix),
    ]


def _line(label: str, value: str | None) -> Content:
    shown = plain(value) if value else DASH
    return Content.assemble((label.ljust(_LABEL_COLUMNS), "$foreground-muted"), shown)
