"""scripts/refresh_catalog: what the hub says goes into the profiles, and nothing else changes.

The hub is a small server on the loopback that answers what huggingface_hub asks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "refresh_catalog"
NO_HUB, CHANGED = 6, 1

BEFORE = """\
# A comment at the top stays.
format = 1
id = "tiny"
name = "Tiny"
license = "mit"
checked = 2026-01-01  # so does this one

[[repositories]]
repo = "maker/Tiny-GGUF"
format = "gguf"
projector = "mmproj-F16.gguf"
projector_size = 50
projector_size_within = 9

  [[repositories.variants]]
  quant = "Q4_K_M"
  files = [  # two parts
    "Tiny-Q4_K_M-00001-of-00002.gguf",
    "Tiny-Q4_K_M-00002-of-00002.gguf",
  ]
  size = 300  # rounded
  size_within = 20
  kld = 0.02
  kld_source = "a card with a # in it"

  [[repositories.variants]]
  quant = "Q8_0"
  files = ["old-name-Q8_0.gguf"]
  size = 900

# Between two tables.
[[repositories]]
repo = "maker/Tiny-4bit"
format = "mlx"

  [[repositories.variants]]
  quant = "4bit"

[draft]
kind = "mtp"
repo = "maker/Tiny-GGUF"
file = "mtp-Tiny-Q8_0.gguf"
"""

AFTER = """\
# A comment at the top stays.
format = 1
id = "tiny"
name = "Tiny"
license = "mit"
checked = 2026-12-01  # so does this one

[[repositories]]
repo = "maker/Tiny-GGUF"
format = "gguf"
projector = "mmproj-F16.gguf"
projector_size = 51
revision = "abc123"

  [[repositories.variants]]
  quant = "Q4_K_M"
  files = [  # two parts
    "Tiny-Q4_K_M-00001-of-00002.gguf",
    "Tiny-Q4_K_M-00002-of-00002.gguf",
  ]
  size = 310  # rounded
  kld = 0.02
  kld_source = "a card with a # in it"

  [[repositories.variants]]
  quant = "Q8_0"
  files = ["Tiny-Q8_0.gguf"]
  size = 1_000

# Between two tables.
[[repositories]]
repo = "maker/Tiny-4bit"
format = "mlx"
revision = "def456"

  [[repositories.variants]]
  quant = "4bit"
  size = 70

[draft]
kind = "mtp"
repo = "maker/Tiny-GGUF"
file = "mtp-Tiny-Q8_0.gguf"
size = 33
"""

HUB: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "maker/Tiny-GGUF": (
        "abc123",
        {
            "Tiny-Q4_K_M-00001-of-00002.gguf": 10,
            "Tiny-Q4_K_M-00002-of-00002.gguf": 300,
            "Tiny-Q8_0.gguf": 1000,
            "mmproj-F16.gguf": 51,
            "mmproj-Q8_0.gguf": 40,
            "mtp-Tiny-Q8_0.gguf": 33,
        },
    ),
    "maker/Tiny-4bit": (
        "def456",
        {"model-00001.safetensors": 30, "model-00002.safetensors": 40, "config.json": 5},
    ),
}


@contextmanager
def hub(repositories: Mapping[str, tuple[str, Mapping[str, int]]]) -> Iterator[str]:
    """Serve `/api/models/OWNER/NAME?blobs=true`, with 404 for what is not there."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            repo = urlsplit(self.path).path.removeprefix("/api/models/")
            known = repo in repositories
            body = json.dumps(document(repo, *repositories[repo]) if known else {}).encode()
            self.send_response(200 if known else 404)
            if not known:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def document(repo: str, revision: str, sizes: Mapping[str, int]) -> Mapping[str, object]:
    siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
    return {"id": repo, "modelId": repo, "sha": revision, "siblings": siblings}


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(BEFORE, encoding="utf-8")
    return file


def refresh(endpoint: str, profile: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, "--models", profile.parent, "--today", "2026-12-01", *more]
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "PYTHONPATH": str(ROOT)}
    environment |= {"HF_HOME": str(profile.parent / "hf"), "HF_HUB_OFFLINE": "0"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_sizes_files_and_revisions_are_renewed_and_comments_stay(profile: Path) -> None:
    with hub(HUB) as endpoint:
        done = refresh(endpoint, profile)

    assert (done.returncode, done.stderr) == (0, "")
    assert profile.read_text(encoding="utf-8") == AFTER
    assert done.stdout.splitlines() == [
        "tiny: maker/Tiny-GGUF Q8_0: files are now Tiny-Q8_0.gguf",
        "tiny: maker/Tiny-GGUF Q8_0: size was 900, is 1000",
        "tiny: maker/Tiny-4bit 4bit: size was unknown, is 70",
    ]


def test_a_second_run_finds_nothing_to_do(profile: Path) -> None:
    with hub(HUB) as endpoint:
        refresh(endpoint, profile)
        again = refresh(endpoint, profile, "--check")

    assert (again.returncode, again.stdout) == (0, "")
    assert profile.read_text(encoding="utf-8") == AFTER


def test_check_says_what_would_change_and_changes_nothing(profile: Path) -> None:
    with hub(HUB) as endpoint:
        done = refresh(endpoint, profile, "--check")

    assert done.returncode == CHANGED
    assert "size was 900, is 1000" in done.stdout
    assert profile.read_text(encoding="utf-8") == BEFORE


def test_a_divergence_whose_file_changed_is_named(profile: Path) -> None:
    grown = {**HUB["maker/Tiny-GGUF"][1], "Tiny-Q4_K_M-00002-of-00002.gguf": 500}
    with hub({**HUB, "maker/Tiny-GGUF": ("abc123", grown)}) as endpoint:
        done = refresh(endpoint, profile)

    assert "Q4_K_M: size was 300, is 510; its kld is of other bytes" in done.stdout


def test_what_is_gone_is_said_and_the_profile_does_not_count_as_checked(profile: Path) -> None:
    left = {name: size for name, size in HUB["maker/Tiny-GGUF"][1].items() if "Q4_K_M" not in name}
    with hub({"maker/Tiny-GGUF": ("abc123", left)}) as endpoint:
        done = refresh(endpoint, profile)

    assert done.returncode == CHANGED
    assert done.stderr.splitlines() == [
        "tiny: maker/Tiny-GGUF has no Q4_K_M any more",
        "tiny: maker/Tiny-4bit is not on the hub, or it is gated",
    ]
    written = profile.read_text(encoding="utf-8")
    assert "checked = 2026-01-01" in written
    assert "size = 1_000" in written


def test_without_a_hub_it_says_what_why_and_how_to_go_on(profile: Path) -> None:
    done = refresh("http://127.0.0.1:9", profile)

    assert done.returncode == NO_HUB
    what, why, fix = done.stderr.splitlines()
    assert what == "The hub did not say what maker/Tiny-GGUF holds."
    assert "refused" in why
    assert "HF_ENDPOINT" in fix
    assert profile.read_text(encoding="utf-8") == BEFORE


def test_an_unknown_profile_is_an_error_that_lists_those_there_are(profile: Path) -> None:
    done = refresh("http://127.0.0.1:9", profile, "tyni")

    assert done.returncode == CHANGED
    assert "tyni" in done.stderr
    assert "it has tiny" in done.stderr
