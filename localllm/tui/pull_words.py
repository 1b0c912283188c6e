"""What is said of a pull, in columns that do not jump. Pure."""

from __future__ import annotations

from textual.content import Content

from localllm.api.pull_views import PulledFileView, PullView
from localllm.errors import error_of
from localllm.tui.telling import lines_of
from localllm.wording.figures import DASH, left, part_of, percent_of, rate, share_of
from localllm.wording.plain import plain, plain_line

UNFINISHED = frozenset({"queued", "fetching", "paused"})
_BAR, _FILE_BAR = 5, 20
_STYLES = {
    "queued": "$foreground-muted",
    "fetching": "bold $primary",
    "paused": "$warning",
    "done": "$success",
    "failed": "bold $error",
    "cancelled": "$foreground-muted",
}
_FILE_WORDS = {"elsewhere": "another program fetches it"}


def row_of(pull: PullView) -> dict[str, Content]:
    """Say it in cells, by the names of the columns."""
    quant = pull.quant or DASH
    model = plain(pull.model).removesuffix(f":{quant}")
    note = pull.note or _failure_of(pull) or then_of(pull)
    return {
        "model": Content(model),
        "quant": Content(plain(quant)),
        "state": Content.styled(pull.state, _STYLES[pull.state]),
        "progress": Content(bar(pull.here, pull.size, _BAR)),
        "size": Content(part_of(pull.here, pull.size, "/")),
        "speed": Content(f"{rate(pull.speed):>10}"),
        "left": Content(f"{left(pull.left):>6}"),
        "note": Content(plain_line(note)),
    }


def then_of(pull: PullView) -> str:
    """What is still to come of what it is for."""
    then = pull.then
    if then is None or then.reply is not None:
        return ""
    if then.error is not None:
        return f"not served: {error_of(then.error.message, then.error.code).what}"
    if then.engine is not None:
        return f"its engine is fetched: {part_of(then.engine.here, then.engine.size, '/')}"
    return "then switched to" if then.how == "switch" else "then served"


def waits_to_be_served(pull: PullView) -> bool:
    """Whether that can still be taken back."""
    then = pull.then
    return then is not None and then.reply is None and then.error is None


def _failure_of(pull: PullView) -> str:
    """In one line, without what to do: that is among the details."""
    if pull.error is None:
        return ""
    error = error_of(pull.error.message, pull.error.code)
    return f"{error.what} {error.why}".strip()


def details_of(pull: PullView, width: int) -> Content:
    """Say the rest of it: why it is fetched so, what stands in its way, and each of its files."""
    lines = [Content.styled(plain(f"{pull.model} {_from(pull)}".strip()), "bold")]
    lines.append(Content.styled(plain_line(pull.reason), "$foreground-muted"))
    if pull.state == "fetching":
        speed = "nothing comes at the moment" if pull.speed is None else rate(pull.speed)
        lines.append(Content(f"{speed}, {left(pull.left)} left"))
    if then_of(pull) and pull.state != "cancelled":
        lines.append(Content(plain_line(then_of(pull))))
    if pull.note is not None:
        lines.append(Content.styled(f"! {plain_line(pull.note)}", "$warning"))
    if pull.error is not None:
        error = lines_of(error_of(pull.error.message, pull.error.code))
        lines += [Content.styled(line, "$error") for line in (f"✖ {error[0]}", *error[1:])]
    longest = max((len(_name_of(file)) for file in pull.files), default=0)
    lines += [_file(file, width, longest) for file in pull.files]
    return Content("\n").join(lines)


def _from(pull: PullView) -> str:
    if pull.repo is None:
        return "was here already"
    commit = f" at {pull.commit[:8]}" if pull.commit else ""
    return f"from {pull.repo}{commit}"


def _name_of(file: PulledFileView) -> str:
    return plain(file.path.rpartition("/")[2])


def _file(file: PulledFileView, width: int, longest: int) -> Content:
    """Draw it; its bar stands right beside the longest name."""
    name = _name_of(file)
    said = _FILE_WORDS.get(file.state, file.state)
    figures = (
        f"{bar(file.here, file.size, _FILE_BAR)}  {part_of(file.here, file.size, '/'):<14}  {said}"
    )
    room = min(longest, max(12, width - len(figures) - 2))
    if len(name) > room:
        name = f"{name[: room // 2]}…{name[-(room - room // 2 - 1) :]}"
    return Content(f"{name:<{room}}  {figures}")


def bar(here: int, size: int, width: int) -> str:
    """Draw how much of it is here; it is full, and 100%, only when nothing lacks."""
    filled = int(width * share_of(here, size))
    return f"{'━' * filled}{'─' * (width - filled)} {percent_of(here, size):>4}"
