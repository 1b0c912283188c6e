"""Has a model served as a command was told: asks the daemon, fetches what is lacking, waits."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TypeVar

import click
import msgspec

from localllm.api.pull_views import ThenHow
from localllm.api.status_views import InstanceView, StatusView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeReply, ServeRequest
from localllm.cli.completing import engines, own_profiles, quantizations
from localllm.cli.conventions import say
from localllm.cli.engine_first import with_engine_for, with_engine_here
from localllm.cli.fetching import (
    bring,
    ensure_here,
    fetch_planned,
    fetch_stand_in,
    stand_in_is_here,
)
from localllm.cli.permission import Permission
from localllm.cli.pulling import DaemonEnded, a_desk, has_our_hub
from localllm.cli.sight import see_to_images
from localllm.cli.start import a_daemon, wait_for, wait_until_gone
from localllm.cli.unnamed import Named, name_one, remembers
from localllm.errors import (
    EngineNeeded,
    EngineUnusable,
    LocalLLMError,
    ModelNotFound,
    NotReady,
    NotRunning,
)
from localllm.paths import Paths
from localllm.units import DURATION
from localllm.wording.plain import plain, plain_line

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


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
    click.option(
        "--quant",
        shell_complete=quantizations,
        help="This quantization; by default what is here, or the best.",
    ),
    click.option(
        "--kv-type", type=click.Choice(["f16", "q8_0", "q4_0"]), help="How the KV cache is stored."
    ),
    click.option(
        "--profile",
        shell_complete=own_profiles,
        help="A profile of yours in config.toml; flags go before it.",
    ),
    click.option(
        "--engine",
        shell_complete=engines,
        help="By name, see `engine list`; by default the one that uses the accelerator.",
    ),
    click.option(
        "--keep-alive", callback=_a_duration, help="Unload it after so long without use, as in 30m."
    ),
    click.option(
        "--allow-cpu",
        is_flag=True,
        help="Serve on the processor if no engine reaches the accelerator.",
    ),
)


def serve_options(function: F) -> F:
    """Add the options that say how a model is to be served."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class _WasEnding(Exception):
    """The daemon that was found was about to end."""


def serve_and_wait(
    paths: Paths, port: int | None, wanted: ServeRequest, how: ThenHow, may: Permission
) -> tuple[StatusView, ServeReply]:
    """Start a daemon if none runs, have a model served, and wait until it is ready.

    What is lacking for it is fetched: an engine, the model, the stand-in's file.

    Args:
        how: Beside others, or in their place.
    """

    def waited(client: DaemonClient, reply: ServeReply) -> tuple[StatusView, ServeReply]:
        wait_for(client, reply.instance, Progress())
        return client.status(), reply

    return _serve_then(waited, paths, port, lambda client: _serve(client, paths, wanted, how, may))


def begin_to_serve(paths: Paths, port: int | None, wanted: ServeRequest, may: Permission) -> None:
    """As `serve_and_wait`, beside others, but return once the model is on its way."""

    def begun(client: DaemonClient) -> ServeReply:
        return _serve(client, paths, wanted, "serve", may)

    _serve_then(lambda _client, _reply: None, paths, port, begun)


def _serve_then(
    then: Callable[[DaemonClient, ServeReply], T],
    paths: Paths,
    port: int | None,
    begin: Callable[[DaemonClient], ServeReply],
) -> T:
    try:
        return _serve_once(then, paths, port, begin)
    except _WasEnding:  # `down` was quicker
        say("the daemon has just ended; starting another one")
        return _serve_once(then, paths, port, begin)


def _serve_once(
    then: Callable[[DaemonClient, ServeReply], T],
    paths: Paths,
    port: int | None,
    begin: Callable[[DaemonClient], ServeReply],
) -> T:
    with a_daemon(paths, port) as client:
        try:
            reply = begin(client)
        except (NotReady, NotRunning) as error:
            wait_until_gone(client, paths)
            raise _WasEnding from error
        return then(client, reply)


def _serve(
    client: DaemonClient, paths: Paths, wanted: ServeRequest, how: ThenHow, may: Permission
) -> ServeReply:
    """Ask for the model, and say what comes of it."""
    named = _fetched(client, paths, name_one(client, paths, wanted, may), wanted, may)
    reply = named.reply or serve(client, paths, named.wanted, how, may)
    if reply.stand_in:
        named.say_stand_in()
    if reply.already:
        say(f"already running at {client.daemon.endpoint}/v1")
    say(plain(f"{reply.id}: {reply.reason}"))
    return reply


def _fetched(
    client: DaemonClient | None, paths: Paths, named: Named, wanted: ServeRequest, may: Permission
) -> Named:
    """Fetch what was chosen where nobody named a model; what cannot be had gives way to the stand-in."""
    if named.plan is None:
        return named
    try:
        found = fetch_planned(client, a_desk(paths), named.plan, named.wanted, may, "serve")
    except (EngineUnusable, DaemonEnded, NotReady, NotRunning):
        raise  # the stand-in would meet the same
    except LocalLLMError as error:
        return Named(wanted, why_not=plain(f"{error.what} ({error.why})"))
    return Named(found.wanted, reply=found.reply)


def serve(
    client: DaemonClient, paths: Paths, wanted: ServeRequest, how: ThenHow, may: Permission
) -> ServeReply:
    """Ask for a model; get what is lacking for it: the model, an engine, the stand-in's file."""
    wanted = see_to_images(client, paths, wanted, may)
    try:
        return _with_engine(client, paths, wanted, how, may)
    except ModelNotFound as error:
        if _is_unnamed(paths, wanted):
            fetch_stand_in(paths, may)
        else:
            brought = bring(client, paths, wanted, error, may, how)
            if brought.reply is not None:
                return brought.reply
            wanted = brought.wanted
    try:
        return _with_engine(client, paths, wanted, how, may)
    except ModelNotFound as error:
        raise (error if has_our_hub(client) else _looks_elsewhere(wanted)) from error


def _is_unnamed(paths: Paths, wanted: ServeRequest) -> bool:
    """Whether neither the command nor a profile of the user's own names a model."""
    if wanted.model is not None or wanted.profile is None:
        return wanted.model is None
    resolved, _ = a_desk(paths).resolved(wanted)
    return resolved.model is None


def _looks_elsewhere(wanted: ServeRequest) -> ModelNotFound:
    return ModelNotFound(
        f"{plain(wanted.model or 'The model')} is here, but the daemon does not see it.",
        why="it was started with other settings of the hub, or of the Hugging Face cache",
        fix="localllm down, then the same again",
    )


def _with_engine(
    client: DaemonClient, paths: Paths, wanted: ServeRequest, how: ThenHow, may: Permission
) -> ServeReply:
    """Ask for the model on the accelerator; the processor only counts once no engine can be had."""
    try:
        return _ask(client, msgspec.structs.replace(wanted, allow_cpu=False), how)
    except EngineNeeded as error:
        wanted = with_engine_for(paths, wanted, error, may)
    except EngineUnusable:  # as with a driver that does not answer: no engine would help
        if not wanted.allow_cpu:
            raise
    return _ask(client, wanted, how)


def _ask(client: DaemonClient, wanted: ServeRequest, how: ThenHow) -> ServeReply:
    return client.serve(wanted) if how == "serve" else client.switch(wanted)


def prepare_here(paths: Paths, wanted: ServeRequest, may: Permission) -> ServeRequest:
    """Fetch what is lacking before there is a daemon to ask; say how to ask for the model then."""
    named = _fetched(None, paths, name_one(None, paths, wanted, may), wanted, may)
    found = ensure_here(paths, see_to_images(None, paths, named.wanted, may), may)
    if named.why_not is not None:
        named.say_stand_in()
    if _is_unnamed(paths, found) and not remembers(paths) and not stand_in_is_here(paths):
        fetch_stand_in(paths, may)
    return with_engine_here(paths, found, may)


class Progress:
    """Shows an instance's way: one line that changes on a terminal, a line a state elsewhere."""

    def __init__(self) -> None:
        self._last = ""
        self._live = sys.stderr.isatty()

    def __call__(self, model: InstanceView) -> None:
        line = f"{plain(model.id)}: {model.state}"
        if model.state in {"backoff", "failed"}:
            line += f" ({plain_line(model.why)})"
        if line == self._last:
            return
        self._last = line
        if self._live:
            click.echo(f"\r\x1b[2K{line}", err=True, nl=model.state in {"ready", "failed"})
        else:
            say(line)
