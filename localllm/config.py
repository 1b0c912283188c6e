"""What the user wants: config.toml, and the environment over it. Flags come on top, in the CLI."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from localllm.errors import ConfigError

DEFAULT_PORT = 11711
_PREFIX = "LOCALLLM_"


Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Duration = Annotated[float, msgspec.Meta(gt=0)]


class Supervision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How patient the supervisor is; times in seconds."""

    max_crashes: Count = 3
    stable_after_s: Duration = 60.0
    backoff_first_s: Duration = 1.0
    start_silence_s: Duration = 60.0
    """How long loading may show no progress, beside the time that its bytes take."""

    drain_timeout_s: Duration = 30.0
    request_wait_s: Duration = 300.0
    """How long a request waits for a model that is loading or restarting."""

    max_requests: Count = 1024
    """That one model may have at once, served and waiting; more are refused with 429."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of config.toml. A key that is not here is an error that names it."""

    port: Port = DEFAULT_PORT
    engine: str | None = None
    llama_server: str | None = None
    """Path or name of the user's own llama-server; unset looks on PATH."""

    allow_cpu: bool = False
    origins: tuple[str, ...] = ()
    """Web origins that may call, each exactly as the browser sends it."""

    max_body_mib: Count = 64
    supervision: Supervision = Supervision()


_FROM_ENVIRONMENT = ("port", "engine", "llama_server", "allow_cpu", "max_body_mib")


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
    said = {
        key: environment[_PREFIX + key.upper()]
        for key in _FROM_ENVIRONMENT
        if environment.get(_PREFIX + key.upper())
    }
    try:
        settings = msgspec.convert(written, Settings)
        over = msgspec.convert({**written, **said}, Settings, strict=False) if said else settings
    except msgspec.ValidationError as error:
        from_file = [str(file)] if written else []
        origin = " or ".join([*from_file, *(_PREFIX + key.upper() for key in said)])
        fix = f"correct {origin}; the README names the settings"
        raise ConfigError(f"A setting of {origin} is wrong.", why=str(error), fix=fix) from error
    return over
