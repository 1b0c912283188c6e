"""Completes names of models in a shell: those on this disk, and those that the catalog knows."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from localllm.cli.conventions import here
from localllm.errors import LocalLLMError


def models_here(_context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    """Complete a model that is on this disk."""
    return _beginning(begun, _here())


def known_models(_context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    """Complete a model that is on this disk or in the catalog."""
    return _beginning(begun, [*_here(), *_catalog()])


def _beginning(begun: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(begun) and name.isprintable()})


def _here() -> list[str]:
    from localllm.catalog.profile import read_profiles  # noqa: PLC0415  # only for a shell that asks
    from localllm.paths import bundled_profiles  # noqa: PLC0415
    from localllm.planning.at_hand import at_hand  # noqa: PLC0415

    paths = here()
    try:
        catalog = read_profiles(bundled_profiles(), paths.config_file.parent)
        return [one.name for one in at_hand(catalog, paths.data, os.environ)]
    except (LocalLLMError, OSError):  # a shell has no place for it
        return []


def _catalog() -> list[str]:
    from localllm.catalog.profile import read_profiles  # noqa: PLC0415  # likewise
    from localllm.paths import bundled_profiles  # noqa: PLC0415

    try:
        return [p.id for p in read_profiles(bundled_profiles(), here().config_file.parent)]
    except LocalLLMError:
        return []
