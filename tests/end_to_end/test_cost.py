"""What tokens cost: from real requests over the ledger to the cent, with and without a daemon."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localllm.metrics.ledger_schema import MIGRATIONS, open_ledger
from localllm.metrics.ledger_totals import EnergyTotals, read_energy
from tests.fakes import nvml_stand_in
from tests.fakes.installation import Installation, wait_until
from tests.faults.stand_ins import ON_A_CARD, RUNTIME, with_engine
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
CONFIG = """
[supervision]
watch_every_s = 0.25
[cost]
currency = "EUR"
electricity_per_kwh = 3600.0  # a joule costs a tenth of a cent
hardware_price = 1461.0
hardware_years = 1
[cost.apis.example]
input = 10000.0
cached_input = 1000.0
output = 50000.0
"""
# The kernel's own files are not ours to write: the daemon reads these in their place.
ELSEWHERE = """
import os, sys
if "localllm.daemon" in sys.orig_argv:
    from pathlib import Path
    from localllm.hardware import linux_energy
    read_processor = linux_energy.read_processor
    linux_energy.read_processor = lambda _: read_processor(Path(os.environ["A_ROOT"]))
"""


class Counter:
    """A file with a number, which is written whole or not at all."""

    def __init__(self, file: Path, start: int) -> None:
        self.file, self.count = file, start
        file.parent.mkdir(parents=True, exist_ok=True)
        self.rise(0)

    def rise(self, more: int) -> None:
        self.count += more
        draft = self.file.with_name("draft")
        draft.write_text(f"{self.count}\n")
        draft.replace(self.file)


def pieces(here: Installation, program: str, **more: Any) -> Iterator[bytes]:
    """Ask for an answer in pieces."""
    body = {
        "model": "localllm",
        "messages": [{"role": "user", "content": "Tell me of the sea."}],
        "stream": True,
        "temperature": 0,
        **more,
    }
    headers = {"Content-Type": "application/json", "User-Agent": program}
    request = urllib.request.Request(
        f"{here.url}/v1/chat/completions", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        yield from answer


def ask_while(here: Installation, program: str, happens: Callable[[], None], **more: Any) -> None:
    answer = pieces(here, program, **more)
    next(answer)
    happens()
    for _ in answer:
        pass


def told(here: Installation, path: str) -> Any:
    headers = {"Authorization": f"Bearer {here.daemon_file()['token']}"}
    request = urllib.request.Request(f"{here.url}{path}", headers=headers)
    return json.loads(urllib.request.urlopen(request).read())


def usage(here: Installation, query: str = "") -> Any:
    return told(here, f"/api/v1/usage{query}")


def looks(here: Installation, device: str) -> Any:
    """When a device was last read."""
    devices = told(here, "/api/v1/now")["devices"]
    return next(one["energy_at"] for one in devices if one["id"] == device)


def wait_for_an_idle_look(here: Installation, device: str) -> None:
    """Have the daemon see what the device uses idle: at two looks at a model that is ready."""
    for _ in range(2):
        before = looks(here, device)
        wait_until(lambda before=before: looks(here, device) != before, "it was looked at")


def energy(here: Installation) -> EnergyTotals:
    return read_energy(here.state / "requests.sqlite3")


def tokens_with_energy(here: Installation) -> int:
    return sum(use.generated_tokens for use in energy(here).models)


@pytest.fixture
def counted(install: Callable[..., Installation], tmp_path: Path) -> tuple[Installation, Counter]:
    """SmolLM2 on a processor whose counter goes on when it is told to."""
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    counter = Counter(zone / "energy_uj", 7_000_000)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    (tmp_path / "sitecustomize.py").write_text(ELSEWHERE)
    here = install(A_ROOT=str(tmp_path))
    here.environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{here.environment['PYTHONPATH']}"
    here.configure(CONFIG)
    here.ok("up", str(smollm2()), "--context", "2048", within_s=120)
    wait_for_an_idle_look(here, "cpu")
    return here, counter


def test_requests_become_tokens_joules_and_cents_by_client_and_model(
    counted: tuple[Installation, Counter],
) -> None:
    here, counter = counted
    for program, joules in (("an-ide/1.0", 300), ("an-agent/2.0", 500)):
        before = tokens_with_energy(here)
        rise = joules * 1_000_000
        ask_while(here, program, lambda rise=rise: counter.rise(rise), max_tokens=48)
        wait_until(lambda before=before: tokens_with_energy(here) > before, "it is written")

    check_clients(here)
    by_model = usage(here, "?by=model")
    check_model(here, by_model)
    scraped = urllib.request.urlopen(f"{here.url}/metrics").read().decode()
    joules_of_cpu = re.search(r'energy_joules_total\{device="cpu"\} (\S+)', scraped)
    assert joules_of_cpu
    assert float(joules_of_cpu[1]) == pytest.approx(800.0)

    here.ok("down")
    alone = here.json("cost", "--by", "model")
    assert alone["rows"] == by_model["rows"]
    assert alone["cost"]["apis"][0]["cost"] == pytest.approx(by_model["cost"]["apis"][0]["cost"])
    text = here.ok("cost")
    assert "800 J for answers" in text
    assert "cost of a day in EUR, by its tokens" in text


def check_clients(here: Installation) -> None:
    rows = {row["name"]: row for row in here.json("cost", "--by", "client")["rows"]}
    first, second = rows["an-ide"], rows["an-agent"]
    assert (first["answers"], second["answers"]) == (pytest.approx(300.0), pytest.approx(500.0))
    assert (first["electricity"], second["electricity"]) == (
        *(pytest.approx(0.30), pytest.approx(0.50)),
    )
    assert (second["output"], second["measured"]) == (48, 1.0)
    asked = 0.01 * second["input"] + 0.001 * second["cached"] + 0.05 * second["output"]
    assert second["apis"]["example"] == pytest.approx(asked)
    assert second["cached"] > 0, "the second prompt was in the cache"


def check_model(here: Installation, usage: Any) -> None:
    [row], cost, [api], [device] = (
        *(usage["rows"], usage["cost"], usage["cost"]["apis"], usage["devices"]),
    )
    assert (row["name"], row["idle"]) == (here.model()["id"], None)
    assert row["answers"] == pytest.approx(800.0)
    tokens = row["input"] + row["cached"] + row["output"]
    assert cost["per_million"] == pytest.approx(0.8 / tokens * 1e6)
    assert (cost["fixed_per_day"], cost["idle_from"]) == (pytest.approx(4.0), "measured")
    at = api["tokens_per_day"]
    assert api["crossover"] == "at"
    assert 4.0 + at * cost["per_million"] / 1e6 == pytest.approx(at * api["per_million"] / 1e6)
    assert (device["device"], device["how"]) == ("cpu", "counted")
    assert (device["joules"], device["idle"]) == (pytest.approx(800.0), pytest.approx(0.0))


def test_a_card_tells_by_its_counter_and_without_one_by_what_it_draws(
    install: Callable[..., Installation], tmp_path: Path
) -> None:
    folder = nvml_stand_in.build(tmp_path)
    (folder / RUNTIME).touch()
    counter = Counter(tmp_path / "counter", 9_000_000)
    here = install(
        **nvml_stand_in.environment(folder, "rtx4090"), LOCALLLM_TEST_NVML_ENERGY=str(counter.file)
    )
    here.configure(CONFIG)
    with_engine(here, then=ON_A_CARD, about=ON_A_CARD)
    here.ok("up", str(smollm2()), "--context", "2048", within_s=120)

    wait_for_an_idle_look(here, "cuda:0")
    ask_while(here, "an-ide/1.0", lambda: counter.rise(600_000))
    wait_until(lambda: any(use.joules for use in energy(here).models), "it is written")
    counted = usage(here)
    counter.file.unlink()
    wait_for_an_idle_look(here, "cuda:0")
    ask_while(here, "an-ide/1.0", lambda: None)
    here.ok("down")  # and what is still in memory is written
    sampled = here.json("cost")

    [before], [after] = counted["devices"], sampled["devices"]
    assert (before["device"], before["how"], after["how"]) == ("cuda:0", "counted", "both")
    assert counted["total"]["answers"] == pytest.approx(600.0)
    assert counted["total"]["electricity"] == pytest.approx(0.60 + before["idle"] / 1000)
    [used] = energy(here).devices
    assert used.sampled_s > 0
    assert after["joules"] == pytest.approx(600.0 + 420.5 * used.sampled_s)


def test_a_ledger_of_a_newer_version_is_refused_and_bad_prices_are_named(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.configure(CONFIG)
    assert "no tokens were read or written" in here.ok("cost")
    open_ledger(here.state / "requests.sqlite3", (*MIGRATIONS, ("CREATE TABLE more (it)",))).close()
    newer = here.run("cost")
    here.configure("[cost]\nelectricity_per_kwh = nan\n")
    no_price = here.run("cost")

    assert (newer.code, no_price.code) == (1, 2)
    assert "fix: localllm upgrade" in newer.err
    assert "cost.electricity_per_kwh" in no_price.err
    assert "Traceback" not in newer.err + no_price.err
