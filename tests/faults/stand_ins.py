"""Programs in place of llama-server that fail as they are told, and the cards they are on."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fakes import nvml_stand_in
from tests.fakes.installation import ROOT, Installation
from tests.faults.place import Place

FAKES = ROOT / "tests" / "fakes"
SERVE = f'exec {sys.executable} {FAKES}/fake_engine.py "$@"'
ON_A_CARD = f'exec {sys.executable} {FAKES}/cuda_server.py "$@"'
RUNTIME = "libcudart.so.12"
"""Without it, the program of cuda_server.py finds no card."""

_PROGRAM = """\
#!/bin/sh
case "$1" in
--help|--version|--list-devices) {about} ;;
*) {then} ;;
esac
"""


def with_engine(here: Installation, then: str = SERVE, about: str = SERVE) -> Path:
    """Put a shell's program in place of llama-server.

    Args:
        then: What it does when it is to serve.
        about: What it does when it is asked what it is.
    """
    program = here.home / "bin" / "llama-server"
    program.parent.mkdir()
    program.write_text(_PROGRAM.format(about=about, then=then))
    program.chmod(0o755)
    config = here.home / "config" / "config.toml"
    named = f'llama_server = "{program}"\nengine = "llama-server"\n'
    here.configure(named + config.read_text())
    return program


def on_a_card(place: Place, settings: str, **environment: str) -> Installation:
    """Install on a machine with an RTX 4090 that is driven by llama-server."""
    folder = nvml_stand_in.build(place.folder())
    (folder / RUNTIME).touch()
    here = place.install(settings, **nvml_stand_in.environment(folder, "rtx4090"), **environment)
    with_engine(here, then=ON_A_CARD, about=ON_A_CARD)
    return here
