"""Runs in the child: has xllamacpp measure a model without loading it, until it is killed.

Its log is this process's standard output. Nothing is allocated for weights and caches even if
the parent is late to kill it: `no_alloc` holds for the load that follows the measuring, too.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from localllm.engines.workers import xllamacpp as serving
from localllm.engines.workers.xllamacpp import WorkerSettings, parse_settings

_SHOWS_TABLE = 5
"""llama.cpp's verbosity that prints what it measures; there is no prompt to print."""


def main(argument: str) -> None:
    """Measure what the JSON object asks for."""
    import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415

    os.umask(0o077)  # its socket is the user's alone
    xllamacpp.Server(_parameters(parse_settings(argument), xllamacpp))


def _parameters(settings: WorkerSettings, xllamacpp: Any) -> object:  # noqa: ANN401
    """Set what serving sets: an estimate is of that very load."""
    params = xllamacpp.CommonParams()
    serving._say_where(params, settings)
    serving._say_how_much(params, settings, xllamacpp)
    serving._say_on_what(params, settings, xllamacpp)
    params.ui = params.warmup = False
    params.fit_params = params.no_alloc = True
    params.verbosity = _SHOWS_TABLE
    return params


if __name__ == "__main__":
    main(sys.argv[1])
