"""`localllm doctor` on the real daemon: healthy it is content, and each fault is found and, if safe, mended."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.hub_process import hub_process
from tests.fakes.installation import Installation, Ran, wait_until

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
MODEL = "smollm2-135m-instruct"
PROMPT = "The patient Jane Roe takes two pills a day, and her password is hunter2."
LONGEST_S = 2.0


@pytest.fixture(scope="module")
def here() -> Iterator[Installation]:
    """One daemon for all, which is left as it was found."""
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        repositories = Path(home) / "repositories"
        repositories.mkdir()
        with hub_process(repositories) as hub:
            installation = Installation(
                Path(home), HF_ENDPOINT=hub.url, HF_HOME=f"{home}/hf", LC_ALL="C.UTF-8"
            )
            installation.ok("up", "--context", "512", "--offline")
            yield installation
            installation.close()


def checkup(here: Installation, *words: str) -> tuple[Ran, dict[str, Any]]:
    ran = here.run("doctor", "--json", *words)
    return ran, json.loads(ran.out)


def problems(document: dict[str, Any]) -> list[str]:
    return [one["id"] for one in document["findings"] if one["severity"] == "problem"]


def finding(document: dict[str, Any], id_: str) -> dict[str, Any]:
    found = [one for one in document["findings"] if one["id"] == id_]
    assert found, (id_, [one["id"] for one in document["findings"]])
    first: dict[str, Any] = found[0]
    return first


def test_a_healthy_daemon_and_its_hub_are_in_order(here: Installation) -> None:
    ran, document = checkup(here)

    assert problems(document) == [], document
    assert ran.code == 0
    for id_ in ("daemon.answers", "daemon.model", "hub.answers", "ports.daemon", "clock.right"):
        assert finding(document, id_)["severity"] == "ok"
    assert not [one for one in document["findings"] if one["id"].endswith((".failed", ".late"))]


def test_rights_that_were_opened_are_a_problem_and_are_taken_back(here: Installation) -> None:
    daemon_file = here.state / "daemon.json"
    daemon_file.chmod(0o644)

    ran, document = checkup(here)
    assert (ran.code, problems(document)) == (1, ["files.too-open"])

    mended, document = checkup(here, "--fix", "--yes")
    assert (mended.code, problems(document)) == (0, [])
    assert stat.S_IMODE(daemon_file.stat().st_mode) == 0o600
    assert here.model()["state"] == "ready"


def test_settings_that_are_wrong_are_told_with_their_place(here: Installation) -> None:
    here.configure("port = 1\nmax_conections = 5\n")
    try:
        ran, document = checkup(here)
    finally:
        (here.home / "config" / "config.toml").unlink()

    assert ran.code == 1
    wrong = finding(document, "settings.wrong")
    assert "config.toml:2:1" in wrong["what"]
    assert wrong["fix"] == "localllm config check"
    assert finding(document, "daemon.answers")["severity"] == "ok", "the daemon has its old ones"


def test_a_daemon_of_another_version_is_a_warning(here: Installation) -> None:
    daemon_file = here.state / "daemon.json"
    before = daemon_file.read_text()
    daemon_file.write_text(before.replace(here.daemon_file()["version"], "0.0.1"))
    try:
        ran, document = checkup(here)
    finally:
        daemon_file.write_text(before)

    assert ran.code == 0
    assert finding(document, "versions.daemon")["fix"] == "localllm up"


def test_a_bundle_of_a_real_daemon_has_no_prompt_no_token_and_no_home(
    here: Installation, tmp_path: Path
) -> None:
    ask(here, PROMPT)
    here.environment["HF_TOKEN"] = "hf_QwErTyUiOpAsDfGhJkLz"
    file = tmp_path / "report.zip"
    try:
        here.run("doctor", "--offline", "--bundle", str(file))
    finally:
        del here.environment["HF_TOKEN"]

    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    everything = "\n".join(members.values())
    assert {"status.json", "events.json", "logs/daemon.log"} <= set(members)
    assert json.loads(members["status.json"])["models"][0]["id"] == MODEL
    assert json.loads(members["plan.json"])[MODEL]["candidates"], "with each number's formula"
    for secret in (
        here.daemon_file()["token"],
        "hf_QwErTy",
        "Jane Roe",
        "hunter2",
        str(Path.home()),
    ):
        assert secret not in everything, secret


def ask(here: Installation, prompt: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=60)
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 4}
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
    )
    assert connection.getresponse().status == 200
    connection.close()


def test_a_hub_that_swallows_everything_does_not_keep_the_doctor(here: Installation) -> None:
    """A listener whose queue is full answers no connection at all, as a firewall that drops."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        address = silent.getsockname()
        full = [socket.socket() for _ in range(4)]
        for one in full:
            one.setblocking(False)
            one.connect_ex(address)
        here.environment["HF_ENDPOINT"], before = (
            f"http://127.0.0.1:{address[1]}",
            here.environment["HF_ENDPOINT"],
        )
        try:
            ran, document = checkup(here)
        finally:
            here.environment["HF_ENDPOINT"] = before
            for one in full:
                one.close()

    assert ran.code == 0, "what is here can be served"
    assert finding(document, "hub.unreachable")["severity"] == "warning"
    assert document["took"] < LONGEST_S


def test_a_port_that_another_program_has_is_told_with_its_name(
    install: Callable[..., Installation],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        installation = install(LOCALLLM_PORT=str(port))
        ran, document = checkup(installation, "--offline")

    told = finding(document, "ports.taken")
    assert ran.code == 1
    if sys.platform == "linux":
        assert f"(process {os.getpid()})" in told["what"]
    assert told["fix"].startswith("localllm up --port ")


def test_an_engine_that_outlived_its_daemon_is_found_and_ended(here: Installation) -> None:
    """The last test: the shared daemon is killed."""
    engine = psutil.Process(here.model()["pid"])
    daemon = psutil.Process(here.daemon_file()["pid"])
    guards = [
        one
        for one in here.processes()
        if one.pid not in {engine.pid, daemon.pid} and "localllm-guard" in " ".join(one.cmdline())
    ]
    for process in (*guards, daemon):
        process.kill()
    psutil.wait_procs([daemon], timeout=5)
    assert engine.is_running(), "an orphan, for the test's sake"

    ran, document = checkup(here)
    assert ran.code == 1
    assert str(engine.pid) in finding(document, "daemon.strays")["what"]
    assert finding(document, "daemon.leftovers")["severity"] == "note"

    mended, document = checkup(here, "--fix", "--yes")
    assert (mended.code, problems(document)) == (0, [])
    wait_until(lambda: not engine.is_running(), "the orphan is gone")
    assert {one["id"] for one in document["repaired"]} == {"daemon.strays", "daemon.leftovers"}
    assert not (here.state / "daemon.json").exists()
