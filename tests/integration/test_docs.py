"""The documentation as a site: it builds without a warning, and says what the program says."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from localllm.cli.main import cli
from localllm.config.reference import rows

_ROOT = Path(__file__).parents[2]
_MEANT_FOR_PEOPLE = re.compile(r'<(?:a|form)\b[^>]*>|<link rel="canonical"[^>]*>')


def _build(into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(_ROOT / "scripts/docs"), "--into", str(into)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = _build(folder)
    assert built.returncode == 0, built.stderr
    return folder


def _text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


@pytest.mark.timeout(120)
def test_every_verb_has_its_place_among_the_commands(site: Path) -> None:
    text = _text(site / "reference/commands/index.html")

    for verb in cli.list_commands(click.Context(cli)):
        assert f"\nlocalllm {verb}" in text or f"localllm {verb} " in text, verb


@pytest.mark.timeout(120)
def test_every_setting_has_its_row(site: Path) -> None:
    text = _text(site / "reference/settings/index.html")

    missing = [row.key for row in rows() if row.key not in text]

    assert not missing


@pytest.mark.timeout(120)
def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        shown = _MEANT_FOR_PEOPLE.sub("", page.read_text(encoding="utf-8"))
        elsewhere = re.findall(r'(?:src|href)="(?:https?:)?//[^"]*', shown)
        assert not elsewhere, page


@pytest.mark.timeout(120)
def test_no_table_or_list_is_shown_as_plain_text(site: Path) -> None:
    """Markdown differs: what a forge shows as a list, mkdocs may not."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<p>[^<]*\n(?:\||- |\* |1\. )", text), page
