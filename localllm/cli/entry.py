"""Where the command starts: before anything is imported that takes time."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run `localllm`.

    Two things that a command pays for and has no use for are left out, 8 % of its time each:
    the collector, which looks at what imports make again and again, while a command ends before
    there is anything to collect; and TLS, which http.client loads if it can, while the daemon is
    on loopback. Measured by scripts/bench_footprint.
    """
    gc.disable()
    sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # `import ssl` then fails
    from localllm.cli.main import run  # noqa: PLC0415  # after the switches, or they are no use

    run()
