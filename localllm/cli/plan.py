"""`localllm plan`: what would run here, or elsewhere, before anything is fetched or started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from localllm.api.sync_client import connect
from localllm.api.views import PlanRequest, PlanView
from localllm.cli.bars import Look, can_show_blocks
from localllm.cli.completing import engines, known_models, machines, own_profiles, quantizations
from localllm.cli.conventions import (
    absolute,
    allow_tls,
    here,
    json_option,
    print_document,
    terminal_width,
)
from localllm.cli.outside import is_offline
from localllm.cli.render_plan import render_plan
from localllm.errors import DoesNotFit


@click.command("plan")
@click.argument("model", required=False, shell_complete=known_models)
@click.option(
    "--use", type=click.Choice(["chat", "code", "embed", "vision"]), help="By default chat."
)
@click.option(
    "--for",
    "hardware",
    metavar="HARDWARE",
    shell_complete=machines,
    help="Another machine: rtx5090, 2xrtx4090, rtx5080+32gb, m4-max-128, cpu-64, a TOML file.",
)
@click.option("--context", type=click.IntRange(min=1), help="Tokens; by default as many as fit.")
@click.option("--parallel", type=click.IntRange(1, 64), help="Requests at once.")
@click.option("--quant", shell_complete=quantizations, help="One quantization only, as in Q4_K_M.")
@click.option(
    "--kv-type", type=click.Choice(["f16", "q8_0", "q4_0"]), help="How the KV cache is stored."
)
@click.option(
    "--profile",
    shell_complete=own_profiles,
    help="A profile of yours in config.toml; flags go before it.",
)
@click.option("--engine", shell_complete=engines, help="By name, see `engine list`.")
@click.option("--explain", is_flag=True, help="Each number with its formula.")
@click.option("--offline", is_flag=True, help="Ask no hub.")
@click.option(
    "--allow-cpu", is_flag=True, help="Plan for the processor if no engine reaches the accelerator."
)
@json_option
def command(*, as_json: bool, model: str | None, hardware: str | None, **asked: object) -> None:
    """Show the largest context that fits, the memory it takes, the speed, and why.

    MODEL: a catalog name, hf:owner/repo[:quant], or a path; every quantization is planned.
    Without MODEL: the best of each model of the catalog.
    """
    asked["offline"] = is_offline(os.environ, asked=bool(asked["offline"]))
    wanted = PlanRequest(model=absolute(model), hardware=_whole(hardware), **asked)  # type: ignore[arg-type]  # click has checked them
    view = _plan(wanted)
    lines = render_plan(view, width=terminal_width(), look=_look())
    print_document(view, lines, as_json=as_json, is_colored=True)
    verdicts = {c.verdict for c in view.candidates}
    if not verdicts & {"fits", "fits_partly"}:
        sys.exit(DoesNotFit.exit_code if "too_big" in verdicts else 1)


def _whole(hardware: str | None) -> str | None:
    """Make the path of a machine's file whole: the daemon has another working directory."""
    if hardware is None or not hardware.casefold().endswith(".toml"):
        return hardware
    return str(Path(hardware).expanduser().absolute())


def _look() -> Look:
    """What the terminal can show, and its user wants: see no-color.org."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Look(sys.stdout.isatty() and wanted, can_show_blocks(sys.stdout.encoding or "ascii"))


def _plan(wanted: PlanRequest) -> PlanView:
    """Ask the daemon, which knows what its own models would give back; without one, plan here."""
    paths = here()
    client = connect(paths.daemon_file)
    if client is not None:
        return client.plan(wanted)
    allow_tls()  # a hub may be asked
    from localllm.config.current import read_current  # noqa: PLC0415  # heavy: only without a daemon
    from localllm.paths import bundled_profiles  # noqa: PLC0415
    from localllm.planning.desk import Desk  # noqa: PLC0415
    from localllm.planning.showing import show_plan  # noqa: PLC0415

    current = read_current(paths.config_file, os.environ)
    return show_plan(Desk(current, paths, os.environ, bundled_profiles()), wanted)
