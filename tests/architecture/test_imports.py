"""What each front end may load, and that the rules in pyproject.toml do bite."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "aiohttp",
    "textual",
    "rich",
    "huggingface_hub",
    "pynvml",
    "pydantic",
    "httpx",
    "httpx2",
    "xllamacpp",
}
CHECK = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"


@pytest.mark.parametrize(
    "module",
    [
        "localllm.cli.main",
        "localllm.cli.up",
        "localllm.cli.status",
        "localllm.cli.tui",
        "localllm.cli.web_screen",
        "localllm.supervisor.lifecycle",
        "localllm.planning.desk",
        "localllm.planning.showing",
    ],
)
def test_import_stays_light(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"

    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())

    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("module", "planted", "broken"),
    [
        ("cli/verb.py", "import aiohttp", "aiohttp has its doors"),
        ("api/views.py", "import aiohttp", "aiohttp has its doors"),
        ("gateway/relay.py", "import aiohttp", None),
        ("engine_client/http.py", "import aiohttp", None),
        ("cli/verb.py", "import localllm.supervisor.fleet", "The CLI asks the daemon over HTTP"),
        ("cli/verb.py", "import textual", "textual has one door"),
        ("tui/other.py", "import textual", None),
        ("tui/other.py", "import localllm.store.hub", "The screen asks the daemon over HTTP"),
        ("tui/other.py", "import localllm.cli.columns", "Imports point down"),
        ("web/other.py", "import aiohttp", None),
        ("web/other.py", "import localllm.tui.app", "Imports point down"),
        ("hardware/other.py", "import pynvml", "pynvml has one door"),
        ("store/other.py", "import huggingface_hub", "The hub has one door"),
        ("engines/llama.py", "import localllm.planning", "Imports point down"),
        ("engines/llama.py", "import localllm.engine_client", "Imports point down"),
        ("extra/__init__.py", "", "not listed as layers"),
        ("supervisor/routing.py", "import time", "The core is pure"),
    ],
)
def test_a_planted_import_breaks_the_contract(
    tmp_path: Path, module: str, planted: str, broken: str | None
) -> None:
    shutil.copytree(ROOT / "localllm", tmp_path / "localllm")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "localllm" / module).parent.mkdir(exist_ok=True)
    (tmp_path / "localllm" / module).write_text(planted)

    command = [sys.executable, "-c", CHECK]
    lint = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert lint.returncode == (broken is not None), lint.stdout
    assert (broken or "0 broken") in re.sub(r".* KEPT", "", lint.stdout)
