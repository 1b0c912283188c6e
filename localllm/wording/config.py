"""What is said of the settings where they are wrong, or do not count yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Literal

from localllm.api.config_views import ConfigStateView

Wrong = tuple[Literal["warning", "error"], str, str | None]
"""How bad it is, what it is, and what mends it where that is known."""


def what_is_wrong(view: ConfigStateView) -> Iterator[Wrong]:
    """Give a line for each; nothing while all that is written counts. The file's folder is left out."""
    file = PurePath(view.file)
    if view.error is not None:
        error = view.error
        says = f"{error.message} {error.why}; what it said before counts"
        yield "error", says.replace(view.file, file.name), error.fix.replace(view.file, file.name)
    for text in view.waiting:
        yield "warning", f"{file.name}: {text}", None
