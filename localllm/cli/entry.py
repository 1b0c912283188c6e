"""Where the command starts: before anything is imported that takes time."""

from __future__ import annotations

import gc


def main() -> None:
    """Run `localllm`.

    The collector is off: it looks at what imports make again and again, which costs a command
    8 % of its life, and a command ends before there is anything to collect.
    """
    gc.disable()
    from localllm.cli.main import run  # noqa: PLC0415  # after the switch, or it is no use

    run()
