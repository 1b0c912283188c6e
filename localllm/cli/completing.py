"""Completes names in a shell: of models, engines, builds, profiles, machines, keys, settings, runs.

A shell has no place for an error: where something cannot be read, nothing is proposed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping

import click
import msgspec

from localllm.cli.conventions import here
from localllm.errors import LocalLLMError

Completer = Callable[[click.Context, click.Parameter, str], list[str]]
_CLOSED = (LocalLLMError, OSError, msgspec.DecodeError)


def _completer(names: Callable[[], Iterable[str]]) -> Completer:
    """Make what click asks of a list of all names."""

    def complete(_context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
        try:
            found = {name for name in names() if name.startswith(begun) and name.isprintable()}
        except _CLOSED:
            return []
        return sorted(found)

    return complete


def _here() -> list[str]:
    from localllm.catalog.profile import read_profiles  # noqa: PLC0415  # only for a shell that asks
    from localllm.paths import bundled_profiles  # noqa: PLC0415
    from localllm.planning.at_hand import at_hand  # noqa: PLC0415

    paths = here()
    try:
        catalog = read_profiles(bundled_profiles(), paths.config_file.parent)
        return [one.name for one in at_hand(catalog, paths.data, os.environ)]
    except _CLOSED:
        return []


def _catalog() -> list[str]:
    from localllm.catalog.profile import read_profiles  # noqa: PLC0415  # likewise
    from localllm.paths import bundled_profiles  # noqa: PLC0415

    return [p.id for p in read_profiles(bundled_profiles(), here().config_file.parent)]


def _served() -> list[str]:
    from localllm.api.sync_client import connect  # noqa: PLC0415  # likewise

    client = connect(here().daemon_file)
    return [] if client is None else [model.id for model in client.models()]


def _own_profiles() -> list[str]:
    from localllm.config.reading import read_settings  # noqa: PLC0415  # likewise

    return [*read_settings(here().config_file, os.environ).profiles]


def _quantizations() -> list[str]:
    from localllm.catalog.ladder import read_ladder  # noqa: PLC0415  # likewise
    from localllm.paths import bundled_profiles  # noqa: PLC0415

    return [*read_ladder(bundled_profiles()).names()]


def _machines() -> list[str]:
    from localllm.hardware.cards import read_cards  # noqa: PLC0415  # likewise
    from localllm.paths import bundled_profiles  # noqa: PLC0415

    return [card.alias for card in read_cards(bundled_profiles() / "hardware") if card.alias]


def _builds() -> list[str]:
    from localllm.catalog.builds import read_builds  # noqa: PLC0415  # likewise
    from localllm.paths import bundled_profiles  # noqa: PLC0415

    return [build.id for build in read_builds(bundled_profiles(), here().config)]


def _installed_builds() -> list[str]:
    from localllm.engines.builds.shelf import Shelf  # noqa: PLC0415  # likewise

    return [shelved.build.id for shelved in Shelf(here().engines).builds()]


def _keys() -> list[str]:
    from localllm.api.key_file import read_keys  # noqa: PLC0415  # likewise

    return [key.name for key in read_keys(here().keys_file)]


def _runs() -> list[str]:
    """By their files' names: reading what is in them takes longer than a shell may."""
    return ["last", "none", *(file.stem for file in here().benches.glob("*.json"))]


def _settings() -> list[str]:
    """All keys that `config set` takes, with the names of one's own profiles."""
    from localllm.config.tree import EACH, NAME, all_settings, key_of  # noqa: PLC0415  # likewise

    paths = [one.path for one in all_settings() if EACH not in one.path]
    own = [path for path in paths if NAME not in path]
    each = [path for path in paths if path[:2] == ("profiles", NAME) and NAME not in path[2:]]
    named = [("profiles", name, *path[2:]) for name in _own_profiles() for path in each]
    return [key_of(path) for path in (*own, *named)]


def _settings_said() -> list[str]:
    """The keys that config.toml has."""
    from localllm.config.tree import key_of  # noqa: PLC0415  # likewise

    try:
        said = tomllib.loads(here().config_file.read_text(encoding="utf-8"))
    except ValueError:
        return []
    return [key_of(path) for path in _paths_in(said)]


def _paths_in(table: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *path) for path in _paths_in(value))


ENGINES = ("xllamacpp", "llama-server", "llama-cpp-python", "mlx", "vllm", "sglang")
"""Looking which are here takes longer than a shell may."""

FETCHED_ENGINES = ("llama-server", "xllamacpp")

models_here = _completer(_here)
known_models = _completer(lambda: [*_here(), *_catalog()])
served_models = _completer(_served)
own_profiles = _completer(_own_profiles)
quantizations = _completer(_quantizations)
machines = _completer(_machines)
builds = _completer(_builds)
installed_builds = _completer(_installed_builds)
keys = _completer(_keys)
bench_runs = _completer(_runs)
settings = _completer(_settings)
settings_said = _completer(_settings_said)
engines = _completer(lambda: ENGINES)
fetched_engines = _completer(lambda: FETCHED_ENGINES)
