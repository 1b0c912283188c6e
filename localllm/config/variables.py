"""The environment's say: one variable for each setting that there is one of. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from localllm.config.takes import item_of, takes
from localllm.config.tree import Setting, all_settings
from localllm.errors import ConfigError

PREFIX = "LOCALLLM_"
OURS = frozenset({"LOCALLLM_HOME", "LOCALLLM_API_KEY", "LOCALLLM_PYTHON", "LOCALLLM_SOCKETS"})
"""Variables that are no settings."""


def variable_of(setting: Setting) -> str | None:
    """Name a setting's variable; None for a table, and for what each profile has of its own."""
    if setting.is_table or not setting.is_of_all:
        return None
    return PREFIX + "_".join(str(part) for part in setting.path).upper()


def said_in(environment: Mapping[str, str]) -> Iterator[tuple[Setting, str, Any]]:
    """Give what the environment says of settings: the setting, the variable, the value.

    A variable that is empty says nothing. Of a list, commas part the words.

    Raises:
        ConfigError: A setting does not take what its variable says.
    """
    if not any(name.startswith(PREFIX) for name in environment):
        return
    for setting in all_settings():
        variable = variable_of(setting)
        if variable is not None and (text := environment.get(variable)):
            yield setting, variable, _parsed(text, setting, variable)


def _parsed(text: str, setting: Setting, variable: str) -> Any:  # noqa: ANN401  # whatever it is
    said = text.split(",") if item_of(setting.kind) is not None else text
    try:
        plain = msgspec.to_builtins(msgspec.convert(said, setting.kind, strict=False))
        return [*plain] if isinstance(plain, tuple) else plain
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"The variable {variable} is wrong.",
            why=f"{setting.key} takes {takes(setting.kind)}",
            fix=f"correct {variable}, or unset it",
        ) from error
