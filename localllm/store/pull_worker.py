"""Pulls in a process of its own, so that neither its bytes nor its work are the daemon's.

It reads pull_talk's lines from standard input and writes them to standard output; when its input
ends, so does it. It may be killed at any moment.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import BinaryIO

import anyio
import msgspec

from localllm.errors import LocalLLMError
from localllm.paths import paths_for
from localllm.store.header_cache import HeaderCache
from localllm.store.job import FileState, PullProgress
from localllm.store.pull_talk import Begin, Failure, Pace, Said
from localllm.store.pulling import pull
from localllm.transfer import pace as pacing

_TELL_EVERY_S = 0.25


class _Telling:
    """Writes how far it is, not too often, but each change of a file's state."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._told_at = 0.0
        self._states: tuple[FileState, ...] = ()
        self._note: str | None = None

    def __call__(self, progress: PullProgress) -> None:
        now = time.monotonic()
        states = tuple(file.state for file in progress.files)
        is_news = states != self._states or progress.note != self._note
        if is_news or now - self._told_at >= _TELL_EVERY_S:
            self._told_at, self._states, self._note = now, states, progress.note
            self.say(Said(progress=progress))

    def say(self, said: Said) -> None:
        try:
            self._out.write(msgspec.json.encode(said) + b"\n")
            self._out.flush()
        except BrokenPipeError:
            os._exit(1)  # whoever began this is gone


def work(source: BinaryIO, out: BinaryIO, environment: Mapping[str, str]) -> int:
    """Do one job; return the exit status."""
    line = source.readline()
    if not line:
        return 1  # whoever began this is gone already
    begin = msgspec.json.decode(line, type=Begin)
    pace = pacing.Pace(begin.bytes_per_s)
    threading.Thread(target=_listen, args=(source, pace), daemon=True).start()
    telling = _Telling(out)

    kept = HeaderCache(paths_for(environment).headers)

    async def run() -> None:
        many = begin.connections
        await pull(begin.job, environment, telling, pace=pace, connections=many, kept=kept)

    try:
        anyio.run(run)
    except LocalLLMError as error:
        telling.say(Said(failed=_failure(error)))
        return 1
    telling.say(Said(done=True))
    return 0


def _failure(error: LocalLLMError) -> Failure:
    return Failure(
        code=error.code,
        what=error.what,
        why=error.why,
        fix=error.fix,
        retry_after_s=error.retry_after_s,
    )


def _listen(source: BinaryIO, pace: pacing.Pace) -> None:
    """Change the pace as told; end with whoever began this."""
    for line in source:
        pace.bytes_per_s = msgspec.json.decode(line, type=Pace).bytes_per_s
    os._exit(1)  # nothing is to be cleaned up: it may be killed at any moment


def main() -> None:
    """Be that process."""
    source, out = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a library's word is no line of ours
    code = work(source, out, os.environ)
    out.flush()
    os._exit(code)  # a thread that waits for a line must not keep us


if __name__ == "__main__":
    main()
