"""Draws the settings with their origins, of all or of one model, with or without a daemon."""

from __future__ import annotations

import re
from collections.abc import Iterable

from localllm.api.config_views import SettingView
from localllm.config.origins import Value, values_of
from localllm.config.reading import Loaded

_LOGIN = re.compile(r"(?<=://)[^/\s]+(?=@)")


def render_all(loaded: Loaded) -> list[SettingView]:
    """Draw every setting."""
    return render_values(values_of(loaded))


def render_values(values: Iterable[Value]) -> list[SettingView]:
    """Draw some; the name and password in an address are for nobody to see."""
    return [
        SettingView(key=one.key, value=_shown(one.value), origin=one.source.value, where=one.where)
        for one in values
    ]


def _shown(value: object) -> object:
    return _LOGIN.sub("...", value) if isinstance(value, str) else value
