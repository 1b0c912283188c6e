"""What applies to one model, and who has said so: flag, environment, profile, config, catalog, planner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from localllm.api.views import ServeRequest
from localllm.catalog.profile import Profile
from localllm.config.origins import OF_ALL, Source, Value, place_in
from localllm.config.reading import Loaded
from localllm.planning.desk import Desk
from localllm.user_profiles import UserProfile

_ASKED = ("model", "use", "context", "parallel", "quant", "kv_type", "engine", "keep_alive")
"""What a flag of `up` may say, and a profile."""

_BESIDE = ("long_context", "draft", "draft_tokens", "pooling", "engine_args")
"""What a profile alone may say."""

_DEFAULTS = {"use": "chat"}


def applying(desk: Desk, asked: ServeRequest, *, for_a_request: bool = False) -> Sequence[Value]:
    """List what a model is served with, the most specific first to have a say.

    Args:
        asked: As `up` said it, or as it is meant.
        for_a_request: Whether a request has loaded it, or would.

    Raises:
        ModelNotFound: There is no such profile.
    """
    loaded, name = desk.current.loaded, asked.profile
    profile = UserProfile() if name is None else desk.settings.profile(name, loaded.file)
    resolved, _ = desk.resolved(asked)
    catalog = desk.profile(resolved.model)
    found = [_asked(key, asked, profile, loaded, for_a_request=for_a_request) for key in _ASKED]
    return [*found, *_of_profile(name, profile, loaded), *_sampling(name, profile, loaded, catalog)]


def _asked(
    key: str, asked: ServeRequest, profile: UserProfile, loaded: Loaded, *, for_a_request: bool
) -> Value:
    if (flag := getattr(asked, key)) is not None:
        where = "the name that was asked for" if key == "model" else f"--{key.replace('_', '-')}"
        return Value(key, flag, Source.FLAG, where)
    own, of_all = getattr(profile, key), OF_ALL.get(key, "")
    is_for_all = key == "engine" or (key == "keep_alive" and (for_a_request or own is not None))
    if is_for_all and of_all in loaded.variables:
        return Value(key, _setting(loaded, of_all), Source.ENVIRONMENT, loaded.variables[of_all])
    if own is not None:
        return Value(key, own, Source.PROFILE, _in_profile(asked.profile, (key,), loaded))
    if is_for_all and (said := _said_in_file(key, of_all, loaded)) is not None:
        return said
    if key == "keep_alive":
        keep = loaded.settings.supervision.keep_alive if for_a_request else "forever"
        return Value(key, keep, Source.DEFAULT)
    return Value(key, _DEFAULTS.get(key), Source.DEFAULT if key in _DEFAULTS else Source.PLANNER)


def _setting(loaded: Loaded, key: str) -> Any:  # noqa: ANN401  # whatever it is
    value: Any = loaded.settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _said_in_file(key: str, of_all: str, loaded: Loaded) -> Value | None:
    path = tuple(of_all.split("."))
    if path not in loaded.places.keys:
        return None
    return Value(key, _setting(loaded, of_all), Source.CONFIG, place_in(loaded, path))


def _of_profile(name: str | None, profile: UserProfile, loaded: Loaded) -> Iterator[Value]:
    said: Mapping[str, Any] = msgspec.to_builtins(profile)
    for key in (*_BESIDE, "lora"):
        if said[key]:
            yield Value(key, said[key], Source.PROFILE, _in_profile(name, (key,), loaded))


def _sampling(
    name: str | None, profile: UserProfile, loaded: Loaded, catalog: Profile | None
) -> Iterator[Value]:
    makers = None if catalog is None else catalog.sampling
    for key in profile.sampling.__struct_fields__:
        own, theirs = getattr(profile.sampling, key), getattr(makers, key, None)
        if own is not None:
            where = _in_profile(name, ("sampling", key), loaded)
            yield Value(f"sampling.{key}", own, Source.PROFILE, where)
        elif theirs is not None and catalog is not None:
            where = f"what the catalog says of {catalog.id}"
            yield Value(f"sampling.{key}", theirs, Source.CATALOG, where)
        else:
            yield Value(f"sampling.{key}", None, Source.DEFAULT, "the engine's own")


def _in_profile(name: str | None, path: tuple[str, ...], loaded: Loaded) -> str:
    return place_in(loaded, ("profiles", name or "", *path))
