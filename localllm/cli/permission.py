"""What a command may do without, or by, asking: fetch things."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import click

from localllm.cli.outside import is_offline

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Permission:
    yes: bool = False
    """Questions about downloads are answered with yes."""

    offline: bool = False
    """Nothing is fetched at all."""


def permission(*, yes: bool, offline: bool) -> Permission:
    """What the options say; HF_HUB_OFFLINE is as good as `--offline`."""
    return Permission(yes, is_offline(os.environ, asked=offline))


def permission_options(function: F) -> F:
    """Add `--yes` and `--offline`."""
    options = (
        click.option("--yes", is_flag=True, help="Answer yes to questions about downloads."),
        click.option("--offline", is_flag=True, help="Fetch nothing: what is on disk, or nothing."),
    )
    for option in reversed(options):
        function = option(function)
    return function
