"""The pictures of the screen that are kept in the repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from tests.fakes.screen_shots import Part
from tests.fakes.screen_svg import describe_difference

ALBUM = Path(__file__).resolve().parents[1] / "tui" / "snapshots"
_DRAWN_BY = ("textual", "rich", "pygments")
"""What decides about the looks beside our own code."""


def keep(pictures: Mapping[str, str]) -> list[str]:
    """Write those that are new or differ; return their names."""
    changed = [name for name, svg in pictures.items() if read_kept(name) != svg]
    for name in changed:
        write_picture(ALBUM / name, pictures[name])
    return changed


def write_picture(file: Path, svg: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(svg, encoding="utf-8", newline="\n")


def read_kept(name: str) -> str | None:
    """None: there is no such picture yet."""
    file = ALBUM / name
    return file.read_text(encoding="utf-8") if file.exists() else None


def what_differs(pictures: Mapping[str, str]) -> dict[str, str]:
    """Say how each that differs does, by its name."""
    kept = {name: read_kept(name) for name in pictures}
    return {
        name: _how(name, before=kept[name], now=svg)
        for name, svg in pictures.items()
        if kept[name] != svg
    }


def _how(name: str, *, before: str | None, now: str) -> str:
    size, _, screen = name.removesuffix(".svg").partition("/")
    if before is None:
        return f"{screen} at {size}: there is no picture of it yet"
    return f"{screen} at {size} looks otherwise than in {name}:\n{describe_difference(before, now)}"


def left_over(parts: Iterable[Part]) -> list[str]:
    """Name pictures that no part takes."""
    known = {name for part in parts for name in part.names}
    there = (file.relative_to(ALBUM).as_posix() for file in ALBUM.rglob("*.svg"))
    return sorted(set(there) - known)


def forget_others(parts: Iterable[Part]) -> None:
    """Remove pictures that no part takes."""
    for name in left_over(parts):
        (ALBUM / name).unlink()


def drawn_by() -> str:
    """What drew them here, as in textual 8.2.8: with other versions they may look otherwise."""
    return ", ".join(f"{name} {version(name)}" for name in _DRAWN_BY)
