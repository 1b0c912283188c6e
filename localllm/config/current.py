"""The settings as they are now, for whoever lives longer than they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localllm.config.reading import Loaded, load
from localllm.config.settings import Settings


@dataclass(slots=True)
class Current:
    """Handed out by the daemon once; asked for each time a setting is needed.

    Mutable: replaced as a whole, on the event loop alone, when the file has changed.
    """

    loaded: Loaded

    @classmethod
    def of(cls, settings: Settings) -> Current:
        """Hold settings that came from nowhere in particular."""
        return cls(Loaded(settings, Path("config.toml")))

    def __call__(self) -> Settings:
        return self.loaded.settings


def read_current(file: Path, environment: Mapping[str, str]) -> Current:
    """Read the settings for what ends before they change.

    Raises:
        ConfigError: The file is not TOML, or a key or value is not one of ours.
    """
    return Current(load(file, environment))
