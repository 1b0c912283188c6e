"""One question and its answer, drawn while it comes."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream

from localllm.errors import LocalLLMError
from localllm.tui.chat_stream import harmless_markdown
from localllm.tui.telling import told
from localllm.tui.words import plain

_THOUGHT = 1500
"""Characters of what it thinks that are shown, the last ones: thoughts are long."""


class Answer(Vertical):
    """Markdown of a model: its links are not opened, its control characters are gone.

    Args:
        question: As it was sent.
    """

    DEFAULT_CSS = """
    Answer { height: auto; margin-bottom: 1; }
    Answer > .question { color: $primary; text-style: bold; padding: 0 1; }
    Answer > .thinking { color: $text-muted; text-style: dim italic; padding: 0 2; }
    Answer > Markdown { padding: 0 1; margin: 0; }
    Answer > .figures { color: $text-muted; padding: 0 1; }
    Answer > .failure { color: $error; padding: 0 1; }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question
        self._thought, self._said = "", ""
        self._stream: MarkdownStream | None = None

    @property
    def text(self) -> str:
        """What has come."""
        return self._said

    def compose(self) -> ComposeResult:
        yield Static(f"> {harmless_markdown(self._question)}", classes="question", markup=False)
        thinking = Static(classes="thinking", markup=False)
        thinking.display = False
        yield thinking
        yield Markdown(open_links=False)
        yield Static("waiting for the first token", classes="figures", markup=False)
        failure = Static(classes="failure", markup=False)
        failure.display = False
        yield failure

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Say where it leads: whoever trusts it may go there."""
        event.stop()
        self.notify(plain(event.href), title="this link leads to", markup=False)

    async def add(self, said: str, thought: str) -> None:
        """Draw what has come since."""
        if thought:
            self._thought = _end_of(self._thought + thought)
            box = self.query_one(".thinking", Static)
            box.display = True
            box.update(Content(f"thinking: {harmless_markdown(self._thought).strip()}"))
        if said:
            self._said += said
            if self._stream is None:
                self._stream = Markdown.get_stream(self.query_one(Markdown))
            await self._stream.write(harmless_markdown(said))

    def tell(self, figures: str) -> None:
        """Say how fast it comes."""
        self.query_one(".figures", Static).update(Content(figures))

    async def end(self, error: LocalLLMError | None) -> None:
        """Draw the rest, and why there is none."""
        if self._stream is not None:
            await self._stream.stop()
            self._stream = None
        if error is not None:
            box = self.query_one(".failure", Static)
            box.update(Content(told(error)))
            box.display = True


def _end_of(text: str) -> str:
    return text if len(text) <= _THOUGHT else f"…{text[1 - _THOUGHT :]}"
