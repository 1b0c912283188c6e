"""Asks an engine's program a question: a short-lived process, bounded in time and output."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localllm.units import how_it_ended

TIMEOUT_S = 20.0
"""A CUDA build initialises every card before it lists them; on a busy machine for seconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    failure: str | None = None
    """Why there is no answer; None if there is."""

    @property
    def last_line(self) -> str:
        """The answer proper: libraries may have printed before it."""
        lines = self.text.strip().splitlines()
        return lines[-1] if lines else ""


def ask(
    argv: Sequence[str], environment: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> Answer:
    """Run `argv` and return what it printed on both streams, standard output last."""
    try:
        done = subprocess.run(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer("", f"{argv[0]} did not answer within {timeout_s:.0f} s")
    except OSError as error:
        return Answer("", f"{argv[0]} cannot be run: {error.strerror}")
    text = done.stderr + done.stdout
    if done.returncode == 0:
        return Answer(text)
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    ended = f"{argv[0]}: {how_it_ended(done.returncode)}"
    return Answer(text, f"{ended}: {said[-1].strip()}" if said else ended)
