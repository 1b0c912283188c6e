"""Which of the settings that have changed something is served by, so that it is started anew. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from localllm.api.views import ServeRequest
from localllm.config.leaves import Change, Effect
from localllm.config.settings import Settings

_OWN_SERVER = "llama-server"


def outdated_by(
    asked: ServeRequest, engine: str, changes: Iterable[Change], settings: Settings
) -> Sequence[Change]:
    """List the changes that a model is to be started anew for; what was said with `up` goes over them.

    Args:
        asked: What it was asked for with.
        engine: That it is served by.
        settings: The new ones.
    """
    return [one for one in changes if _concerns(one, asked, engine, settings)]


def _concerns(change: Change, asked: ServeRequest, engine: str, settings: Settings) -> bool:
    if change.effect is not Effect.MODEL:
        return False
    match change.path:
        case ("profiles", name, key, *_):
            return name == asked.profile and not getattr(asked, str(key), None)
        case ("engine",):
            profile = settings.profiles.get(asked.profile or "")
            return asked.engine is None and (profile is None or profile.engine is None)
        case ("llama_server",):
            return engine == _OWN_SERVER
        case _:
            return True
