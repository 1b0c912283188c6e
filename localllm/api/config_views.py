"""The settings as the daemon has them: each with its origin, what a change came to, what is wrong."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from localllm.api.views import View

Origin = Literal["flag", "environment", "profile", "config", "catalog", "planner", "default"]


class SettingView(View, frozen=True, kw_only=True):
    key: str
    value: Any
    """null: it is not set."""

    origin: Origin
    where: str | None = None
    """The option, the variable, or the file and line; null: nobody has said it."""


class ConfigErrorView(View, frozen=True, kw_only=True):
    """Why what is written now does not count."""

    message: str
    """Names the file, with line and column where that is known."""

    why: str
    fix: str


class ConfigStateView(View, frozen=True, kw_only=True):
    """How the settings stand."""

    file: str
    error: ConfigErrorView | None = None
    """null: the file is right, or there is none. Else what it said before counts."""

    waiting: list[str] = msgspec.field(default_factory=list[str])
    """What is written and does not count yet, and what that takes."""


class ConfigView(ConfigStateView, frozen=True, kw_only=True):
    settings: list[SettingView]


class ConfigQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /api/v1/config`."""

    model: str | None = None
    """One that is served: what applies to it; null: all settings."""

    profile: str | None = None
    """One of the user's own: what applies to a model that is served by it."""


class ChangeView(View, frozen=True, kw_only=True):
    key: str
    old: Any
    new: Any
    effect: Literal["live", "model", "daemon"]
    """live: it counts. model: models are started anew. daemon: it counts after a restart."""


class ReloadView(ConfigStateView, frozen=True, kw_only=True):
    changed: list[ChangeView]
    anew: list[str] = msgspec.field(default_factory=list[str])
    """Models that are started anew, and serve as they were until then."""
