"""`localllm run`: one answer on stdout, or a chat on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from localllm.api.chat_stream import Broken, Cut, Piece, Said, Turn, parse_line, request_of
from localllm.api.status_views import InstanceView
from localllm.api.sync_client import DaemonClient
from localllm.api.views import ServeRequest
from localllm.cli.completing import known_models
from localllm.cli.conventions import absolute, here, say
from localllm.cli.permission import permission, permission_options
from localllm.cli.serving import serve
from localllm.cli.start import a_daemon, wait_for
from localllm.errors import EngineGone
from localllm.wording.plain import plain_piece


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
        reply = serve(client, paths, wanted, "serve", may)
        wait_for(client, reply.instance, _quiet)
    if prompt is None and sys.stdin.isatty():
        _chat(client, reply.id)
        return
    text = sys.stdin.read() if prompt in {None, "-"} else prompt
    _answer(client, reply.id, [Turn("user", str(text))])


def _quiet(_model: InstanceView) -> None:
    """Show nothing: stdout is for the answer."""


def _chat(client: DaemonClient, model: str) -> None:
    say(f"chatting with {model}; ctrl-d ends")
    turns = list[Turn]()
    while (line := _read_line()) is not None:
        turns.append(Turn("user", line))
        turns.append(Turn("assistant", _answer(client, model, turns)))


def _read_line() -> str | None:
    try:
        return input("> ")
    except EOFError:
        return None


def _answer(client: DaemonClient, model: str, turns: Sequence[Turn]) -> str:
    """Write the answer while it comes: to a terminal made harmless, else as the model said it.

    Raises:
        EngineGone: The stream carried an error.
    """
    is_seen, is_cut, parts = sys.stdout.isatty(), False, list[str]()
    for piece in _pieces(client.chat(request_of(model, turns))):
        match piece:
            case Said(text):
                parts.append(text)
                click.echo(plain_piece(text) if is_seen else text, nl=False, color=True)
            case Cut():
                is_cut = True
            case Broken(message):
                raise _broken(message)
            case _:  # what it thinks is no answer
                pass
    click.echo()
    if is_cut:
        say("cut off: the context is full")
    return "".join(parts)


def _pieces(lines: Iterable[bytes]) -> Iterator[Piece]:
    return (piece for line in lines for piece in parse_line(line))


def _broken(message: str) -> EngineGone:
    what, _, why = message.partition("\n")
    return EngineGone(what, why=why.strip() or "the engine said no more", fix="localllm logs")
