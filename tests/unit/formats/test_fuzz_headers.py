"""The script that breaks headers at random: a short run of it, and that it does report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "fuzz_headers"


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=18)


def test_thousands_of_broken_headers_are_each_read_or_refused(tmp_path: Path) -> None:
    done = fuzz("--count", "5000", "--limit-ms", "250", "--keep", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "headers         5000" in done.stdout
    assert "BadModelFile" in done.stdout
    assert "read" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_takes_too_long_is_kept_and_the_exit_status_says_so(tmp_path: Path) -> None:
    done = fuzz("--count", "1", "--limit-ms", "0", "--keep", str(tmp_path))

    (kept,) = tmp_path.iterdir()
    assert done.returncode == 1
    assert str(kept) in done.stderr
    assert "ms and ended as" in done.stderr
