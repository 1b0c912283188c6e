"""Reads one log of the daemon, again and again, until nobody wants it any more."""

from __future__ import annotations

from collections.abc import Iterator

from localllm.api.sync_client import DaemonClient
from localllm.errors import LocalLLMError
from localllm.tui.inbox import Inbox
from localllm.tui.reading import Reading
from localllm.tui.source import Source
from localllm.wording.engine_log import Cutter
from localllm.wording.events import line_of

EVENTS = "events"
"""The daemon's own log, of what happened and was decided; no instance has such a name."""

_LINES = 500
"""That were there before."""


def read_log(source: Source, log: str, inbox: Inbox, reading: Reading) -> None:
    """Fill the inbox until `reading` is ended; a daemon that is lost is looked for again.

    Args:
        log: EVENTS, or an instance.
    """
    is_again = False
    while not reading.is_over:
        try:
            for lines in _lines(reading.begin(source.client()), log):
                if is_again and lines:
                    inbox.put(["… the connection was lost; from here on it is another one …"])
                    is_again = False
                inbox.put(lines)
                reading.error = None
        except LocalLLMError as error:
            reading.error = error
        is_again = True
        reading.rest()


def _lines(client: DaemonClient, log: str) -> Iterator[list[str]]:
    if log == EVENTS:
        yield from ([line_of(event)] for event in client.events(follow=True))
        return
    cutter = Cutter()
    for chunk in client.logs(log, lines=_LINES, follow=True):
        yield cutter.lines(chunk)
    yield cutter.end()
