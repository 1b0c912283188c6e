"""Real pynvml over a stand-in driver, in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from localllm.units import GIB, MIB
from tests.unit.hardware.conftest import Probe

FIRST, SECOND = "GPU-5090aaaa", "GPU-5090bbbb"


def ids(machine: dict) -> list[str]:
    return [device["id"] for device in machine["devices"]]


def test_a_card_is_described_by_its_driver(probe_in: Probe) -> None:
    card = probe_in("rtx5090")["devices"][0]

    told = {name: card[name] for name in card if name not in ("holders", "sources")}
    assert told == {
        "id": "cuda:0",
        "kind": "cuda",
        "name": "NVIDIA GeForce RTX 5090",
        "source": "NVML",
        "memory_total": 32607 * MIB,
        "memory_free": 31900 * MIB,
        "memory_usable": 31583 * MIB,
        "unified": False,
        "bandwidth": 1_792_000_000_000,
        "half_precision_flops": 209.5e12,
        "driver": "570.86.16",
        "cuda_version": "12.8",
        "compute_capability": "12.0",
        "uuid": "GPU-5090aaaa-0000-0000-0000-000000000001",
        "pci_bus": "00000000:01:00.0",
        "memory_reserve": GIB,
        "wired_limit": None,
        "power_limit_w": 575.0,
    }


def test_memory_that_others_hold_is_listed_without_our_own(probe_in: Probe) -> None:
    card = probe_in("rtx5090")["devices"][0]

    assert card["holders"] == [
        {"pid": os.getpid(), "name": psutil.Process().name(), "held_bytes": 512 * MIB},
        {"pid": 99999999, "name": None, "held_bytes": 64 * MIB},
    ]


def test_under_wsl_who_holds_memory_is_known_but_not_how_much(probe_in: Probe) -> None:
    machine = probe_in("wsl")

    assert [holder["held_bytes"] for holder in machine["devices"][0]["holders"]] == [None, None]
    assert machine["warnings"] == []


def test_cards_are_numbered_by_their_place_on_the_bus(probe_in: Probe) -> None:
    cards = probe_in("mixed")["devices"][:-1]

    assert [(card["id"], card["name"], card["pci_bus"]) for card in cards] == [
        ("cuda:0", "NVIDIA GeForce RTX 4090", "00000000:01:00.0"),
        ("cuda:1", "NVIDIA GeForce RTX 5090", "00000000:41:00.0"),
    ]


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        ("1", ["cuda:1", "cpu"]),
        ("1,0", ["cuda:0", "cuda:1", "cpu"]),
        (f"{SECOND}", ["cuda:1", "cpu"]),
        ("0,7,1", ["cuda:0", "cpu"]),
        ("", ["cpu"]),
        ("-1", ["cpu"]),
    ],
)
def test_a_hidden_card_is_left_out_and_the_others_keep_their_number(
    probe_in: Probe, visible: str, shown: list[str]
) -> None:
    assert ids(probe_in("two5090", CUDA_VISIBLE_DEVICES=visible)) == shown


@pytest.mark.parametrize(("order", "warned"), [("", True), ("PCI_BUS_ID", False)])
def test_an_index_among_different_cards_is_doubted_unless_cuda_counts_by_bus(
    probe_in: Probe, order: str, warned: bool
) -> None:
    machine = probe_in("mixed", CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER=order)

    assert ids(machine) == ["cuda:1", "cpu"]
    assert ["fastest first" in warning for warning in machine["warnings"]] == [True] * warned


def test_a_card_that_is_lost_keeps_its_name_and_spoils_no_other(probe_in: Probe) -> None:
    machine = probe_in("halfway")

    healthy, lost, _ = machine["devices"]
    unknown = ["memory_total", "memory_free", "memory_usable", "compute_capability"]
    assert healthy["memory_free"] == 31900 * MIB
    assert [lost[fact] for fact in [*unknown, "power_limit_w", "holders"]] == [None] * 6
    assert lost["uuid"].startswith(SECOND)
    assert machine["warnings"] == [
        "cuda:1 (NVIDIA GeForce RTX 5090): memory, compute capability, power limit and "
        "processes could not be read (GPU is lost), so nothing can be planned on it."
    ]


def test_what_was_learned_before_a_card_vanished_is_kept(probe_in: Probe) -> None:
    machine = probe_in("vanishes")

    card = machine["devices"][0]
    assert (card["memory_free"], card["compute_capability"]) == (31900 * MIB, "12.0")
    assert (card["power_limit_w"], card["holders"]) == (None, None)
    assert machine["warnings"] == [
        "cuda:0 (NVIDIA GeForce RTX 5090): power limit and processes could not be read "
        "(GPU is lost)."
    ]


def test_half_a_list_of_processes_is_none_at_all(probe_in: Probe) -> None:
    machine = probe_in("vanishes", LOCALLLM_TEST_NVML_ANSWERS="5")

    assert machine["devices"][0]["holders"] is None
    assert machine["warnings"] == [
        "cuda:0 (NVIDIA GeForce RTX 5090): processes could not be read (GPU is lost)."
    ]


def test_a_chip_whose_memory_the_driver_does_not_tell_is_no_place_for_a_plan(
    probe_in: Probe,
) -> None:
    machine = probe_in("gb10")

    assert machine["devices"][0]["memory_usable"] is None
    assert machine["warnings"][0] == (
        "cuda:0 (NVIDIA GB10): memory could not be read (Not Supported), "
        "so nothing can be planned on it."
    )


def test_a_laptop_without_a_power_limit_is_no_news(probe_in: Probe) -> None:
    machine = probe_in("laptop")

    assert machine["devices"][0]["power_limit_w"] is None
    assert not any("power limit" in warning for warning in machine["warnings"])


def test_a_broken_driver_leaves_the_processor_and_says_what_to_do(probe_in: Probe) -> None:
    machine = probe_in("broken")

    assert ids(machine) == ["cpu"]
    assert machine["warnings"] == [
        "The NVIDIA driver does not work (Driver Not Loaded), so no NVIDIA card is used: "
        "load it (sudo modprobe nvidia) or reboot."
    ]


@pytest.mark.parametrize(
    ("sign", "advice"),
    [
        ("dev/nvidiactl", "--gpus all"),
        ("proc/driver/nvidia", "--gpus all"),
        ("dev/dxg", "/usr/lib/wsl/lib"),
        ("dev/null", None),
    ],
)
def test_a_missing_library_is_news_only_where_a_card_may_be(
    probe_in: Probe, tmp_path: Path, sign: str, advice: str | None
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libnvidia-ml.so.1").write_text("not a library")
    (tmp_path / sign).parent.mkdir(parents=True)
    (tmp_path / sign).touch()

    machine = probe_in("rtx5090", tmp_path / "lib", root=tmp_path)

    assert ids(machine) == ["cpu"]
    assert [advice in warning for warning in machine["warnings"]] == ([True] if advice else [])


@pytest.mark.parametrize("machine", ["two5090", "halfway", "vanishes", "empty"])
def test_the_driver_is_left_closed(probe_in: Probe, tmp_path: Path, machine: str) -> None:
    log = tmp_path / "log"

    probe_in(machine, LOCALLLM_TEST_NVML_LOG=log)

    assert log.read_text().split() == ["init", "shutdown"]


def test_what_other_programs_hold_cannot_be_spent(probe_in: Probe) -> None:
    busy = probe_in("rtx5090", LOCALLLM_TEST_NVML_FREE_MIB="2048")["devices"][0]

    assert busy["memory_usable"] == 2 * GIB
