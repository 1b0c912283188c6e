"""`localllm probe`: what hardware was found, by the drivers and by the engines."""

from __future__ import annotations

import os

import click

from localllm.cli.conventions import here, json_option, print_document
from localllm.cli.render import render_probe


@click.command("probe")
@json_option
def command(*, as_json: bool) -> None:
    """Show the processor, memory and accelerators, and where each fact comes from."""
    from localllm.config.current import read_current  # noqa: PLC0415  # heavy: only here and in plan
    from localllm.paths import bundled_profiles  # noqa: PLC0415
    from localllm.planning.desk import Desk  # noqa: PLC0415
    from localllm.planning.views import render_machine  # noqa: PLC0415

    paths = here()
    current = read_current(paths.config_file, os.environ)
    desk = Desk(current, paths, os.environ, bundled_profiles())
    view = render_machine(desk.survey().machine)
    print_document(view, render_probe(view), as_json=as_json)
