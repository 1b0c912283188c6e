"""What can go wrong when an agent is pointed here."""

from __future__ import annotations

from pathlib import Path

from localllm.errors import LocalLLMError


class NoSuchAgent(LocalLLMError):
    """No agent goes by this name."""

    exit_code = 5
    http_status = 404


class NotInstalled(LocalLLMError):
    """The agent's program is not on PATH."""

    exit_code = 5
    http_status = 404


class NotConnectable(LocalLLMError):
    """The agent cannot be pointed here, or not in the way that was asked for."""

    exit_code = 2
    http_status = 422


class NotOurs(LocalLLMError):
    """The file is a place that localllm does not write to."""

    exit_code = 2


class Unreadable(LocalLLMError):
    """The agent's file is not what its format allows; it is left as it is."""


class Malformed(Exception):
    """A text is not of its format. `merging` says of which file, as Unreadable.

    Args:
        line: Counts from 1, as does `column`; None where nobody tells.
    """

    def __init__(self, why: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(why)
        self.why, self.line, self.column = why, line, column

    def of(self, file: Path) -> Unreadable:
        """Say it of a file."""
        place = "" if self.line is None else f" at line {self.line}"
        place += "" if self.line is None or self.column is None else f", column {self.column}"
        return Unreadable(
            f"{file} cannot be read{place}; it is left as it is.",
            why=self.why,
            fix=f"correct {file}, or move it away, and ask again",
        )
