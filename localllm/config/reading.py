"""Reads config.toml, and the environment over it. Flags come on top, in the CLI."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from localllm.config.settings import (
    Downloads,
    Floors,
    Naming,
    Planning,
    Prefix,
    Remote,
    Settings,
    Supervision,
)
from localllm.errors import ConfigError
from localllm.user_profiles import Lora, Manner, Sampling, UserProfile

_PREFIX = "LOCALLLM_"
_UNKNOWN_KEY = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `(?P<path>[^`]*)`)?")
_NUMBERED = re.compile(r"\[\d+\]")
_TABLES = {
    "$": Settings,
    "$.supervision": Supervision,
    "$.plan": Planning,
    "$.plan.min_tps": Floors,
    "$.downloads": Downloads,
    "$.prefix": Prefix,
    "$.remote": Remote,
    "$.names": Naming,
    "$.profiles[...]": UserProfile,
    "$.profiles[...].sampling": Sampling,
    "$.profiles[...].lora[...]": Lora,
    "$.profiles[...].variants[...]": Manner,
}
_FROM_ENVIRONMENT = (
    "port",
    "listen",
    "auth",
    "allowed_hosts",
    "max_connections",
    "engine",
    "llama_server",
    "engine_mirror",
    "allow_cpu",
    "max_body_mib",
    "allow_grammars",
)


def read_settings(file: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings; a missing file is the defaults.

    Raises:
        ConfigError: The file is not TOML, or a key or value is not one of ours.
    """
    fix = f"correct {file}; `localllm --help` and the README name the settings"
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{file} cannot be read.", why=str(error), fix=fix) from error
    said: dict[str, Any] = {
        key: environment[_PREFIX + key.upper()]
        for key in _FROM_ENVIRONMENT
        if environment.get(_PREFIX + key.upper())
    }
    if "allowed_hosts" in said:
        said["allowed_hosts"] = said["allowed_hosts"].split(",")
    try:
        settings = msgspec.convert(written, Settings)
        over = msgspec.convert({**written, **said}, Settings, strict=False) if said else settings
    except msgspec.ValidationError as error:
        from_file = [str(file)] if written else []
        origin = " or ".join([*from_file, *(_PREFIX + key.upper() for key in said)])
        raise ConfigError(
            f"A setting of {origin} is wrong.",
            why=_name_profile(str(error), written),
            fix=f"{_first_step(str(error))} {origin}; the README names the settings",
        ) from error
    return _over_profiles(over) if "engine" in said else over


def _over_profiles(settings: Settings) -> Settings:
    """Let an engine that the environment names go over those of profiles, too."""
    engine, profiles = settings.engine, settings.profiles
    replaced = {name: msgspec.structs.replace(p, engine=engine) for name, p in profiles.items()}
    return msgspec.structs.replace(settings, profiles=replaced)


def _name_profile(why: str, written: Mapping[str, Any]) -> str:
    """Say which profile is wrong: the checker calls them all `profiles[...]`."""
    if "$.profiles[...]" not in why:
        return why
    for name, profile in written["profiles"].items():
        try:
            msgspec.convert(profile, UserProfile)
        except msgspec.ValidationError:
            return why.replace("profiles[...]", f"profiles.{name}")
    return why


def _first_step(why: str) -> str:
    """Name the key that an unknown one was most likely meant to be."""
    unknown = _UNKNOWN_KEY.search(why)
    if unknown is None:
        return "correct"
    table = _TABLES[_NUMBERED.sub("[...]", unknown["path"] or "$")]
    near = get_close_matches(unknown["key"], table.__struct_fields__, n=1)
    return f"write {near[0]} instead of {unknown['key']} in" if near else "correct"
