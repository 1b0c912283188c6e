"""The remote as the settings have it now; one that they had before ends its answers, and is closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from localllm.config.remote import Remote
from localllm.gateway.remote import RemoteBackend


@dataclass(slots=True)
class Remotes:
    """Mutable: knows the remote that was asked for last.

    Args:
        wanted: By the settings of this moment.
        environment: The daemon's, with the remote's key.
    """

    wanted: Callable[[], Remote | None]
    environment: Mapping[str, str]
    _settings: Remote | None = None
    _backend: RemoteBackend | None = None
    _former: list[RemoteBackend] = field(default_factory=list[RemoteBackend])

    def now(self) -> RemoteBackend | None:
        """Give the one that requests go to; None: they all stay here."""
        settings = self.wanted()
        if settings != self._settings:
            self._settings = settings
            self._former += [] if self._backend is None else [self._backend]
            self._backend = None
            if settings is not None and settings.when:
                self._backend = RemoteBackend(settings, self.environment)
        return self._backend

    async def aclose(self) -> None:
        """Close all: those before held no connection that was idle, and may have been at work."""
        for backend in (*self._former, *([] if self._backend is None else [self._backend])):
            await backend.aclose()
