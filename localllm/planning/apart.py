"""Plans in a process of its own, so that the interpreter that passes answers on is not kept busy.

A thread would be: planning is half a second of Python, and each of its turns keeps a stream
waiting. A process costs as much again to start, so that it is for a daemon that serves already.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import TypeVar, cast

import anyio

from localllm.errors import LocalLLMError
from localllm.units import how_it_ended

T = TypeVar("T")
_ERROR_LINES = 20


async def apart(work: Callable[[], T]) -> T:
    """Call `work` in another process, which ends with it; cancelling kills that process.

    Args:
        work: Can be pickled, as its result can: a partial of a module's function, or of a
            method of a value.

    Raises:
        LocalLLMError: As `work` has raised it, or its process was killed.
        RuntimeError: `work` has raised something else, told as text.
    """
    command = (sys.executable, "-P", "-m", __name__)
    done = await anyio.run_process(command, input=pickle.dumps(work), check=False)
    if done.returncode < 0:
        raise LocalLLMError(
            "There is no plan: the process that makes it has died.",
            why=how_it_ended(done.returncode),
            fix="localllm logs daemon; free memory if the system was out of it, and try again",
        )
    if done.returncode:
        said = done.stderr.decode(errors="replace").splitlines()
        raise RuntimeError("\n".join(said[-_ERROR_LINES:]))
    made: T | LocalLLMError = pickle.loads(done.stdout)  # noqa: S301  # from our own child
    if isinstance(made, LocalLLMError):
        raise made
    return made


def main() -> None:
    """Read work from standard input and write what came of it to standard output."""
    answer, sys.stdout = sys.stdout.buffer, sys.stderr  # a library's word is no answer
    work = cast(Callable[[], object], pickle.load(sys.stdin.buffer))  # noqa: S301
    try:
        made = work()
    except LocalLLMError as error:
        made = error
    answer.write(pickle.dumps(made))


if __name__ == "__main__":
    main()
