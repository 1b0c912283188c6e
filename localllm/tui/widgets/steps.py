"""The steps of a switch: which are done, which is under way, and what went wrong."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from localllm.api.engine_views import BuildView
from localllm.tui.figures import Tones, tones_of
from localllm.tui.switch_steps import STEPS, Progress, Step
from localllm.wording.figures import percent, size_of
from localllm.wording.plain import plain

_BAR = 16
_MOST_LINES = 12
"""Of an error's cause, the last ones."""


class Steps(Static):
    """Shows how far a switch is."""

    DEFAULT_CSS = "Steps { height: 1fr; padding: 1 2; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # as Textual has it
        super().__init__("", id=id, markup=False)

    def show(self, name: str, progress: Progress, *, is_here: bool) -> None:
        """Draw it.

        Args:
            is_here: Nothing has to be fetched.
        """
        tones = tones_of(self.app.theme_variables)
        self.update(render_steps(name, progress, tones, is_here=is_here))


def render_steps(name: str, progress: Progress, tones: Tones, *, is_here: bool) -> Text:
    """Draw a line for each step, then what came of it."""
    text = Text(f"switching to {plain(name)}\n\n", "bold")
    for step in Step:
        text.append_text(_line(step, progress, tones, is_here=is_here))
    if progress.failed is not None:
        text.append_text(_failure(progress, tones))
    elif progress.at is Step.READY and progress.served is not None:
        served = progress.served
        taken = size_of(served.memory.measured or served.memory.predicted)
        text.append(
            f"\n{plain(served.id)} is ready: context {served.context}, {taken} of memory, "
            f"{plain(served.engine)}\n",
            f"not bold {tones.get('success', '')}".strip(),
        )
    return text


def _line(step: Step, progress: Progress, tones: Tones, *, is_here: bool) -> Text:
    sign, word, tone = _state(step, progress, is_here=is_here)
    text = Text(style="not bold").append(f"  {sign} {STEPS[step]:<9} ", tones.get(tone, ""))
    is_now = step is progress.at
    if is_now and progress.share is not None:
        filled = round(_BAR * min(1.0, progress.share))
        text.append("━" * filled, tones.get("primary", "")).append("─" * (_BAR - filled))
        text.append(f" {percent(progress.share)}  ")
    note = progress.note if is_now and progress.failed is None else ""
    return text.append(plain(note) or word).append("\n")


def _state(step: Step, progress: Progress, *, is_here: bool) -> tuple[str, str, str]:
    """A sign, a word and a colour."""
    if step is Step.DOWNLOAD and is_here and progress.at is not Step.DOWNLOAD:
        return "✓", "nothing to fetch", "success"
    if step < progress.at or progress.at is Step.READY:
        return "✓", "done", "success"
    if step > progress.at:
        return "·", "", ""
    if progress.failed is not None:
        return "✗", "failed", "error"
    return "▸", "under way", "warning"


def _failure(progress: Progress, tones: Tones) -> Text:
    error = progress.failed
    assert error is not None
    text = Text("\n", "not bold").append(
        f"{plain(error.what)}\n", f"bold {tones.get('error', '')}".strip()
    )
    why = error.why.split("\n")
    for line in [why[0], *why[1:][-_MOST_LINES:]]:
        text.append(f"{plain(line)}\n")
    if progress.offer is not None:
        return text.append(f"enter fetches {_offered(progress.offer)}\n", "bold")
    return text.append(f"what to do: {plain(error.fix)}\n", "bold")


def _offered(build: BuildView) -> str:
    hosts = " and ".join(map(plain, build.hosts))
    size = size_of(build.download)
    return f"{plain(build.title)}:\n  {size} from {hosts}, licence {plain(build.licence)}"
