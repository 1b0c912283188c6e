"""scripts/refresh_engines holds every pin against what its publisher says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from localllm.catalog.builds import read_builds
from localllm.paths import bundled_profiles
from tests.fakes.installation import ROOT
from tests.fakes.release_server import Outside, an_outside

BUILDS = read_builds(bundled_profiles())
GITHUB, PYPI = "api.github.com", "pypi.org/pypi"


@pytest.fixture
def outside() -> Iterator[Outside]:
    """What GitHub and the index would say if every pin were right."""
    releases: dict[str, list[dict[str, object]]] = {}
    with an_outside() as served:
        for build in BUILDS:
            for archive in build.archives:
                _, owner, repo, _, _, tag, name = urlsplit(archive.url).path.split("/")
                asset = {"name": name, "size": archive.size, "digest": f"sha256:{archive.sha256}"}
                releases.setdefault(f"{owner}/{repo}/releases/tags/{tag}", []).append(asset)
            for package in build.packages:
                path = f"https://{PYPI}/{package.name}/{package.version}/json"
                file = {"digests": {"sha256": package.sha256}, "size": package.size}
                known = json.loads(served.files.get(served.path_of(path), b'{"urls": []}'))
                served.add(path, json.dumps({"urls": [*known["urls"], file]}).encode())
        for path, assets in releases.items():
            served.add(f"https://{GITHUB}/repos/{path}", json.dumps({"assets": assets}).encode())
        yield served


def refresh(outside: Outside) -> tuple[int, list[dict[str, str]]]:
    command = [
        *(sys.executable, str(ROOT / "scripts" / "refresh_engines"), "--json"),
        *("--github", f"{outside.mirror}/{GITHUB}", "--pypi", f"{outside.mirror}/{PYPI}"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)["findings"]


def test_pins_that_are_as_published_are_all_the_same(outside: Outside) -> None:
    code, findings = refresh(outside)

    assert code == 0
    assert {f["verdict"] for f in findings} == {"same"}
    assert len(findings) == sum(len(b.archives) + len(b.packages) for b in BUILDS)


def test_a_digest_that_differs_is_named_with_what_is_published(outside: Outside) -> None:
    path = next(p for p in outside.files if GITHUB in p)
    release = json.loads(outside.files[path])
    release["assets"][0]["digest"] = f"sha256:{'b' * 64}"
    outside.files[path] = json.dumps(release).encode()

    code, findings = refresh(outside)

    wrong = [f for f in findings if f["verdict"] != "same"]
    assert code == 1
    assert [f["file"] for f in wrong] == [release["assets"][0]["name"]]
    assert "b" * 64 in wrong[0]["detail"]


def test_a_file_that_is_gone_is_named(outside: Outside) -> None:
    path = next(p for p in outside.files if PYPI in p)
    outside.files[path] = json.dumps({"urls": []}).encode()

    code, findings = refresh(outside)

    assert code == 1
    assert "no file of this hash" in next(
        f["detail"] for f in findings if f["verdict"] == "differs"
    )
