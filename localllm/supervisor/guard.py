"""How a child of the daemon ends with the daemon, however the daemon ends.

The daemon alone holds the write end of a pipe. A child starts as a shell with the read end
as its standard input; the shell leaves a guard behind that waits for end-of-file, and then
becomes the program. The kernel closes the write end when the daemon ends, SIGKILL included,
on every POSIX system; the guard then kills the process group, itself last.

A thread inside the program could not do it: xllamacpp keeps Python's interpreter lock for
as long as a model loads, measured with 2026.10. PR_SET_PDEATHSIG is Linux alone, and fires
when the spawning thread ends, not the process.
"""

from __future__ import annotations

from collections.abc import Sequence

_SCRIPT = """\
exec 3<&0
( trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0 ) &
exec "$@" 3<&- </dev/null
"""


def guarded(argv: Sequence[str]) -> Sequence[str]:
    """Say how to run `argv`, as the leader of its own group, with the lifeline as its input.

    The process id, the exit status and the signals are the program's own.
    """
    return ["/bin/sh", "-c", _SCRIPT, "localllm-guard", *argv]
