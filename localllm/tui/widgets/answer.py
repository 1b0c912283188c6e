"""One question and its answer, drawn while it comes."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream

from localllm.errors import LocalLLMError
from localllm.tui.answer_markdown import markdown_parser
from localllm.tui.telling import told
from localllm.wording.plain import plain, plain_text

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
    Answer > .thinking { color: $foreground-muted; text-style: italic; padding: 0 2; }
    Answer > Markdown { padding: 0 1; margin: 0; }
    Answer > .figures { color: $foreground-muted; padding: 0 1; }
    Answer > .failure { color: $error; padding: 0 1; }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question
        self._thought, self._said = "", ""
        self._stream: MarkdownStream | None = None
        self._is_over = False

    @property
    def text(self) -> str:
        """What has come."""
        return self._said

    def compose(self) -> ComposeResult:
        yield Static(f"> {plain_text(self._question)}", classes="question", markup=False)
        thinking = Static(classes="thinking", markup=False)
        thinking.display = False
        yield thinking
        yield Markdown(parser_factory=markdown_parser, open_links=False)
        yield Static("waiting for the first token", classes="figures", markup=False)
        failure = Static(classes="failure", markup=False)
        failure.display = False
        yield failure

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Say where it leads: whoever trusts it may go there."""
        event.stop()
        self.notify(plain(event.href), title="this link leads to", markup=False)

    async def add(self, said: str, thought: str) -> None:
        """Draw what has come since; once it is over, nothing."""
        if self._is_over:
            return
        if thought:
            self._thought = _end_of(self._thought + thought)
            box = self.query_one(".thinking", Static)
            box.display = True
            box.update(Content(f"thinking: {plain_text(self._thought).strip()}"))
        if said:
            self._said += said
            if self._stream is None:
                self._stream = Markdown.get_stream(self.query_one(Markdown))
            await self._stream.write(plain_text(said))

    def tell(self, figures: str) -> None:
        """Say how fast it comes."""
        self.query_one(".figures", Static).update(Content(figures))

    async def end(self, error: LocalLLMError | None) -> None:
        """Draw the rest, and why there is no more."""
        if error is not None:
            box = self.query_one(".failure", Static)
            box.update(Content(told(error)))
            box.display = True
        stream, self._stream = self._stream, None
        self._is_over = True
        if stream is not None:
            await stream.stop()


def _end_of(text: str) -> str:
    return text if len(text) <= _THOUGHT else f"…{text[1 - _THOUGHT :]}"
