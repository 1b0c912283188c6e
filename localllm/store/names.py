"""How people name a repository's model: hf:owner/repo, with a quantization and a revision."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(
    r"(?:hf:)?(?P<repo>[\w.-]+/[\w.-]+?)(?::(?P<quant>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?"
)


@dataclass(frozen=True, slots=True)
class RepositoryName:
    repo: str
    """As in owner/name."""

    quant: str | None = None
    revision: str | None = None
    """A branch, tag or commit; None: the default branch."""


def is_a_path(text: str) -> bool:
    """Tell whether a name means a place on this computer."""
    return text.startswith((".", "/", "~")) or text.endswith(".gguf") or ".." in text.split("/")


def parse_repository_name(text: str) -> RepositoryName | None:
    """Read `[hf:]owner/repo[:quant][@revision]`; None for anything else, a path among it."""
    match = _NAME.fullmatch(text)
    if match is None or is_a_path(text):
        return None
    return RepositoryName(match["repo"], match["quant"], match["revision"])
