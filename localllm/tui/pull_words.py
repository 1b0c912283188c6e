"""What is said of a pull, in columns that do not jump. Pure."""

from __future__ import annotations

from textual.content import Content

from localllm.api.pull_views import PulledFileView, PullView
from localllm.tui.telling import plain_lines
from localllm.tui.words import DASH, plain, size_of
from localllm.units import GIB, MIB

UNFINISHED = frozenset({"queued", "fetching", "paused"})
_BAR, _FILE_BAR = 5, 20
_STYLES = {
    "queued": "$text-muted",
    "fetching": "bold $primary",
    "paused": "$warning",
    "done": "$success",
    "failed": "bold $error",
    "cancelled": "$text-muted",
}
_FILE_WORDS = {"elsewhere": "another program fetches it"}


def row_of(pull: PullView) -> dict[str, Content]:
    """Say it in cells, by the names of the columns."""
    quant = pull.quant or DASH
    model = plain(pull.model).removesuffix(f":{quant}")
    note = pull.note or ("" if pull.error is None else pull.error.message)
    return {
        "model": Content(model),
        "quant": Content(plain(quant)),
        "state": Content.styled(pull.state, _STYLES[pull.state]),
        "progress": Content(bar(pull.here, pull.size, _BAR)),
        "size": Content(of(pull.here, pull.size)),
        "speed": Content(f"{rate(pull.speed):>10}"),
        "left": Content(f"{left(pull.left):>6}"),
        "note": Content(" ".join(plain_lines(note))),
    }


def details_of(pull: PullView, width: int) -> Content:
    """Say the rest of it: why it is fetched so, what stands in its way, and each of its files."""
    lines = [Content.styled(plain(f"{pull.model} {_from(pull)}".strip()), "bold")]
    lines.append(Content.styled(" ".join(plain_lines(pull.reason)), "$text-muted"))
    if pull.state == "fetching":
        speed = "nothing comes at the moment" if pull.speed is None else rate(pull.speed)
        lines.append(Content(f"{speed}, {left(pull.left)} left"))
    if pull.note is not None:
        lines.append(Content.styled(f"! {' '.join(plain_lines(pull.note))}", "$warning"))
    if pull.error is not None:
        lines += _error(pull.error.message)
    lines += [_file(file, width) for file in pull.files]
    return Content("\n").join(lines)


def _from(pull: PullView) -> str:
    if pull.repo is None:
        return "was here already"
    commit = f" at {pull.commit[:8]}" if pull.commit else ""
    return f"from {pull.repo}{commit}"


def _error(message: str) -> list[Content]:
    what, _, rest = message.partition("\n  why: ")
    why, _, fix = rest.partition("\n  fix: ")
    said = [("✖ ", what), ("why: ", why), ("next: ", fix)]
    return [
        Content.styled(f"{sign}{' '.join(plain_lines(text))}", "$error")
        for sign, text in said
        if text
    ]


def _file(file: PulledFileView, width: int) -> Content:
    name = plain(file.path.rpartition("/")[2])
    said = _FILE_WORDS.get(file.state, file.state)
    figures = f"{bar(file.here, file.size, _FILE_BAR)}  {of(file.here, file.size):<14}  {said}"
    room = max(12, width - len(figures) - 2)
    if len(name) > room:
        name = f"{name[: room // 2]}…{name[-(room - room // 2 - 1) :]}"
    return Content(f"{name:<{room}}  {figures}")


def bar(here: int, size: int, width: int) -> str:
    """Draw how much of it is here; it is full, and 100%, only when nothing lacks."""
    share = min(1.0, here / size) if size else 1.0
    filled = int(width * share)
    return f"{'━' * filled}{'─' * (width - filled)} {int(100 * share):>3}%"


def of(here: int, size: int) -> str:
    """Say how many of how many bytes are here."""
    if here >= size:
        return size_of(size)
    unit, name = (GIB, "GiB") if size >= GIB else (MIB, "MiB")
    return f"{here / unit:.1f}/{size / unit:.1f} {name}"


def rate(bytes_per_s: float | None) -> str:
    """Render bytes per second."""
    if bytes_per_s is None:
        return DASH
    if bytes_per_s >= GIB:
        return f"{bytes_per_s / GIB:.1f} GiB/s"
    return f"{bytes_per_s / MIB:.1f} MiB/s"


def left(seconds: float | None) -> str:
    """Render a time that is guessed: two figures at most."""
    if seconds is None:
        return DASH
    minutes, rest = divmod(int(seconds) + 1, 60)
    hours, minutes = divmod(minutes, 60)
    if hours > 99:  # noqa: PLR2004
        return "days"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest} s"
