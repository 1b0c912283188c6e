"""A child that Ctrl-C ends, wherever the tests run."""

from __future__ import annotations

import signal


def heed_ctrl_c() -> None:
    """Run in the child: a shell that runs the tests in its background has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
