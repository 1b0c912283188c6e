"""`localllm run`: one answer on stdout, or a chat on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
import msgspec

from localllm.api.status_views import InstanceView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeRequest
from localllm.cli.completing import known_models
from localllm.cli.conventions import absolute, here, say
from localllm.cli.permission import permission, permission_options
from localllm.cli.serving import serve
from localllm.cli.start import a_daemon, wait_for
from localllm.errors import EngineGone

_PREFIX = b"data: "
_DONE = b"[DONE]"


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = _Delta()


class _Error(msgspec.Struct):
    message: str = "the stream broke off"


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    error: _Error | None = None


class _Message(msgspec.Struct):
    role: str
    content: str


@click.command("run")
@click.argument("model", shell_complete=known_models)
@click.argument("prompt", required=False)
@permission_options
def command(model: str, prompt: str | None, *, yes: bool, offline: bool) -> None:
    """Ask MODEL for an answer to PROMPT; `-` reads it from standard input, none opens a chat.

    A model that is not on disk is fetched first, once you have agreed.
    """
    paths, may = here(), permission(yes=yes, offline=offline)
    with a_daemon(paths, None) as client:
        wanted = ServeRequest(model=absolute(model))
        reply = serve(client, paths, wanted, DaemonClient.serve, may)
        wait_for(client, reply.instance, _quiet)
    if prompt is None and sys.stdin.isatty():
        _chat(client, reply.id)
        return
    text = sys.stdin.read() if prompt in {None, "-"} else prompt
    _answer(client, reply.id, [_Message("user", str(text))])


def _quiet(_model: InstanceView) -> None:
    """Show nothing: stdout is for the answer."""


def _chat(client: DaemonClient, model: str) -> None:
    say(f"chatting with {model}; ctrl-d ends")
    messages: list[_Message] = []
    while (line := _read_line()) is not None:
        messages.append(_Message("user", line))
        messages.append(_Message("assistant", _answer(client, model, messages)))


def _read_line() -> str | None:
    try:
        return input("> ")
    except EOFError:
        return None


def _answer(client: DaemonClient, model: str, messages: list[_Message]) -> str:
    body = msgspec.json.encode({"model": model, "messages": messages, "stream": True})
    parts: list[str] = []
    for part in _deltas(client.chat(body)):
        parts.append(part)
        click.echo(part, nl=False)
    click.echo()
    return "".join(parts)


def _deltas(lines: Iterator[bytes]) -> Iterator[str]:
    """Read the text out of server-sent events.

    Raises:
        EngineGone: The stream carried an error.
    """
    for line in lines:
        if not line.startswith(_PREFIX) or line.strip().endswith(_DONE):
            continue
        chunk = msgspec.json.decode(line[len(_PREFIX) :], type=_Chunk)
        if chunk.error is not None:
            what, _, why = chunk.error.message.partition("\n")
            raise EngineGone(
                what, why=why.strip() or "the engine said no more", fix="localllm logs"
            )
        yield from (c.delta.content for c in chunk.choices if c.delta.content)
