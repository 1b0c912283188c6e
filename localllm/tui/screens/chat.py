"""A scratch chat with what is served; it is kept nowhere."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from localllm.api.chat_stream import Turn, request_of
from localllm.api.status_views import InstanceView
from localllm.tui.asking import app_of
from localllm.tui.chatting import Chatting
from localllm.tui.widgets.answer import Answer
from localllm.tui.widgets.header import StatusHeader
from localllm.tui.widgets.key_line import KeyLine
from localllm.tui.widgets.prompt import Prompt
from localllm.tui.world import World
from localllm.wording.plain import plain

_TAKE_EVERY_S = 0.08
_BEGIN = "Ask what is served here something. Nothing of it is kept; ctrl+n forgets it, too."
_NOBODY = "Nothing is served yet: escape, then s, chooses a model."


class Chat(Screen[None]):
    """One answer at a time comes in a thread; what has come is drawn a few times a second."""

    DEFAULT_CSS = """
    Chat #turns { height: 1fr; padding: 0 1; }
    Chat #chat-begin { color: $foreground-muted; padding: 1; }
    Chat #chat-with { height: 1; padding: 0 1; color: $foreground-muted; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape", "stop", "Stop/leave", id="chat-stop",
            tooltip="Stop the answer; with none, leave the field, so that other keys work",
        ),
        Binding("ctrl+n", "new", "New chat", id="chat-new", tooltip="Forget all that was said"),
        Binding(
            "ctrl+t", "next_model", "Next model", id="chat-model",
            tooltip="Chat with another one that is served",
        ),
        Binding(
            "i,enter", "write", "Write", id="chat-write", tooltip="Go to the field", show=False
        ),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[Turn] = []
        self._chatting: Chatting | None = None
        self._answer: Answer | None = None
        self._model: str | None = None
        self._served: list[InstanceView] = []
        self._with = ""

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        with VerticalScroll(id="turns"):
            yield Static(_BEGIN, id="chat-begin", markup=False)
        yield Static(id="chat-with", markup=False)
        yield Prompt()
        yield KeyLine()

    def on_mount(self) -> None:
        self._prompt, self._box = self.query_one(Prompt), self.query_one("#turns", VerticalScroll)
        self._timer = self.set_interval(_TAKE_EVERY_S, self._take, pause=True)
        self.watch(self.app, "world", self.show)

    def on_screen_resume(self) -> None:
        self._prompt.focus()

    def on_unmount(self) -> None:
        if self._chatting is not None:
            self._chatting.stop()

    def show(self, world: World) -> None:
        """Know who is served."""
        views = [] if world.now is None else [one.view for one in world.now.models]
        self._served = [view for view in views if view.wanted]
        self._say_with()

    @property
    def model(self) -> str | None:
        """Whom the next message goes to: the chosen one while it is served, else the current."""
        names = [view.id for view in self._served]
        if self._model in names:
            return self._model
        current = [view.id for view in self._served if view.current]
        return next(iter(current or names), None)

    async def on_prompt_sent(self, message: Prompt.Sent) -> None:
        if self._chatting is not None:
            self.notify("an answer is on its way; escape stops it", markup=False)
            return
        if self.model is None:
            self.notify(_NOBODY, severity="warning", markup=False)
            return
        self._turns.append(Turn("user", message.text))
        answer = self._answer = Answer(message.text)
        chatting = self._chatting = Chatting(request_of(self.model, self._turns))
        self._prompt.take_back()
        self.query_one("#chat-begin").display = False
        await self._box.mount(answer)
        if self._chatting is not chatting:
            return  # forgotten before it was there
        self._box.anchor()
        work = partial(chatting.work, app_of(self).source)
        self.run_worker(work, thread=True, group="chat")
        self._timer.resume()

    def action_stop(self) -> None:
        """End the answer; with none, leave the field."""
        if self._chatting is not None:
            self._chatting.stop()
        else:
            self._box.focus()

    def action_write(self) -> None:
        """Go to the field."""
        self._prompt.focus()

    async def action_new(self) -> None:
        """Forget all; what comes meanwhile is of an answer that is not there any more."""
        chatting, answer = self._chatting, self._answer
        forgotten = list(self._box.query(Answer))
        self._chatting, self._answer = None, None
        self._turns.clear()
        self._timer.pause()
        if chatting is not None:
            chatting.stop()
        if answer is not None:
            await answer.end(None)
        await self._box.remove_children(forgotten)
        self.query_one("#chat-begin").display = not self._box.query(Answer)
        self._prompt.focus()

    def action_next_model(self) -> None:
        """Chat with another one."""
        names = list(dict.fromkeys(view.id for view in self._served))
        if self.model in names:
            self._model = names[(names.index(self.model) + 1) % len(names)]
        self._say_with()

    async def _take(self) -> None:
        chatting, answer = self._chatting, self._answer
        if chatting is None or answer is None:
            return
        is_done = chatting.is_done  # before the last pieces are taken
        await answer.add(*chatting.take())
        if self._chatting is not chatting:
            return  # forgotten meanwhile
        if chatting.measured.first_at is not None:
            answer.tell(chatting.measured.line())
        if is_done:
            await self._end(chatting, answer)

    async def _end(self, chatting: Chatting, answer: Answer) -> None:
        self._timer.pause()
        self._chatting, self._answer = None, None
        if answer.text:
            self._turns.append(Turn("assistant", answer.text))
        else:
            self._turns.pop()  # so that it may be asked again
        self._say_with()
        answer.tell(chatting.measured.line("stopped" if chatting.was_stopped else ""))
        await answer.end(chatting.error)

    def _say_with(self) -> None:
        model = self.model
        if model is None:
            text = _NOBODY
        else:
            state = next(view.state for view in self._served if view.id == model)
            more = len({view.id for view in self._served}) - 1
            text = f"with {plain(model)} ({state})"
            text += f"; ctrl+t: one of {more} others" if more else ""
        if text != self._with:
            self._with = text
            self.query_one("#chat-with", Static).update(text)
