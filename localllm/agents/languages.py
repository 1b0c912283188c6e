"""The languages that settings files are written in, each loaded when a file of its kind is edited."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, cast

from localllm.agents.edits import Found, Step, Value


class Language(StrEnum):
    """As profiles name them; JSON is read with comments and trailing commas wherever it stands."""

    JSON = "json"
    TOML = "toml"
    YAML = "yaml"
    SHELL = "shell"


class Editor(Protocol):
    """Reads and edits texts of one language; what a text holds otherwise stays as it is."""

    def parse(self, text: str) -> Found:
        """Read what a text says; ABSENT for an empty one.

        Raises:
            Malformed: It is not of this language.
        """
        ...

    def put(self, text: str, path: Sequence[Step], value: Value) -> str:
        """Put a value where a path leads; nothing else is in the way, the caller has looked."""
        ...

    def take(self, text: str, path: Sequence[Step]) -> str:
        """Take away what a path leads to; it is there, the caller has looked."""
        ...


def editor_for(language: Language) -> Editor:
    """Load what edits a language."""
    return cast("Editor", importlib.import_module(f"localllm.agents.{language.value}_text"))
