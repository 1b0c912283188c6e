"""Asks the drivers in a process of its own, since one that hangs keeps whoever asked: python -m localllm.checkup.probing ROOT."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from localllm.hardware.probe import probe_machine


def main() -> None:
    """Print the machine as JSON."""
    root = Path(sys.argv[1]) if sys.argv[1:] else Path("/")
    sys.stdout.buffer.write(msgspec.json.encode(probe_machine(root=root)))


if __name__ == "__main__":
    main()
