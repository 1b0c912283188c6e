"""What is wrong and what to do about it; not there at all while all is well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.content import Content

from localllm.api.now_views import DeviceNowView, ModelNowView, NowView
from localllm.errors import error_of
from localllm.tui.widgets.drawn import Drawn
from localllm.tui.world import World
from localllm.wording.config import what_is_wrong
from localllm.wording.plain import plain
from localllm.wording.recorded import what_is_recorded

_FEW = 4
"""Notices where the screen is short; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is wrong."""

    level: Literal["warning", "error"]
    says: str
    fix: str | None = None


class Notices(Drawn):
    """Stands above all else."""

    DEFAULT_CSS = """
    Notices { height: auto; padding: 0 1; border-left: thick $error; background: $surface; }
    Notices.-mild { border-left: thick $warning; }
    """
    WRAPS = True

    def render_world(self, world: World, width: int) -> Content:  # noqa: ARG002
        notices = [] if world.now is None else notices_of(world.now)
        self.set_class(all(one.level == "warning" for one in notices), "-mild")
        room = _FEW if self.screen.has_class("-short") else 3 * _FEW
        lines = [_line(notice) for notice in notices[:room]]
        if len(notices) > room:
            lines.append(Content(f"and {len(notices) - room} more"))
        return Content("\n").join(lines)


def notices_of(now: NowView) -> list[Notice]:
    """Find what is wrong: errors first, in an order that stays."""
    found = [Notice("warning", text) for text in now.warnings]
    if now.recording is not None:
        found.append(Notice("warning", what_is_recorded(now.recording)))
    if now.config is not None:
        found += [Notice(*one) for one in what_is_wrong(now.config)]
    for device in now.devices:
        found += _of_device(device, now.warnings)
    for model in now.models:
        found += _of_model(model)
    for pull in now.pulls:
        if pull.error is not None and pull.state == "failed":
            told = error_of(pull.error.message, pull.error.code)
            found.append(Notice("error", f"{pull.model}: {told.what} {told.why}", told.fix))
    return sorted(found, key=lambda notice: notice.level == "warning")


def _of_device(device: DeviceNowView, said: list[str]) -> list[Notice]:
    """What no warning of the machine says already."""
    if any(device.id in text or device.name in text for text in said):
        return []
    if device.lost is not None:
        return [Notice("error", f"{device.id} is lost: {device.lost}", "localllm doctor")]
    if device.throttled is not None:
        return [Notice("warning", f"{device.id} is slowed down: {device.throttled}")]
    return []


def _of_model(model: ModelNowView) -> list[Notice]:
    view = model.view
    found = [Notice("warning", f"{view.id}: {text}") for text in view.warnings]
    if view.error is not None and view.state in {"failed", "backoff"}:
        fix = view.error.fix or f"localllm logs {view.id}"
        found.append(Notice("error", f"{view.id} {view.state}: {view.error.reason}", fix))
    if view.held is not None:
        found.append(Notice("warning", f"{view.id}: requests wait: {view.held}"))
    return found


def _line(notice: Notice) -> Content:
    sign, style = ("✖", "$error") if notice.level == "error" else ("!", "$warning")
    fix = "" if notice.fix is None else f"; fix: {_on_one_line(notice.fix)}"
    return Content.assemble(
        (f"{sign} {notice.level}: ", f"bold {style}"), _on_one_line(notice.says), (fix, "bold")
    )


def _on_one_line(text: str) -> str:
    return plain(" ".join(text.split()))
