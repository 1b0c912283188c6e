"""What profiles/hardware says, and what happens when it says nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.errors import ConfigError
from localllm.hardware.cards import Card, cards_called, find_card, read_cards
from localllm.paths import bundled_profiles
from localllm.units import GIB, MIB
from tests.unit.hardware.conftest import Probe

BUNDLED = read_cards(bundled_profiles() / "hardware")
GOOD = """\
format = 1
[[cards]]
names = ["NVIDIA GeForce RTX 5090"]
bandwidth_gb_s = 1000
reserve_mib = 3072
"""


@pytest.mark.parametrize(
    ("name", "cores", "gigabytes_per_s"),
    [
        ("NVIDIA GeForce RTX 5090", None, 1792),
        ("NVIDIA GeForce RTX 5080", None, 960),
        ("NVIDIA GeForce RTX 4090", None, 1008),
        ("NVIDIA GeForce RTX 4080", None, 716.8),
        ("NVIDIA GeForce RTX 4080 SUPER", None, 736),
        ("NVIDIA GeForce RTX 3090", None, 936.2),
        ("GeForce RTX 3090", None, 936.2),
        ("NVIDIA GeForce RTX 3090 Ti", None, 1008),
        ("NVIDIA H100 PCIe", None, 2000),
        ("NVIDIA H100 80GB HBM3", None, 3350),
        ("NVIDIA H100 NVL", None, 3900),
        ("NVIDIA H200", None, 4800),
        ("NVIDIA GeForce RTX 5070 Ti", None, 896),
        ("NVIDIA GeForce RTX 4070 SUPER", None, 504),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", None, 1792),
        ("NVIDIA RTX A6000", None, 768),
        ("NVIDIA L40S", None, 864),
        ("NVIDIA A100-SXM4-80GB", None, 2039),
        ("Apple M1", 8, 68.25),
        ("Apple M3 Max", 14, 300),
        ("Apple M3 Max", 16, 400),
        ("Apple M3 Ultra", 28, 819),
        ("Apple M4 Max", 14, 410),
        ("Apple M4 Max", 16, 546),
        ("Apple M5 Pro", 18, 307),
    ],
)
def test_a_card_is_known_by_its_full_name(
    name: str, cores: int | None, gigabytes_per_s: float
) -> None:
    card = find_card(BUNDLED, name, cpu_cores=cores)

    assert card is not None
    assert card.bandwidth == round(gigabytes_per_s * 1e9)


@pytest.mark.parametrize(
    ("name", "cores"),
    [
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA GeForce RTX 50", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", None),
        ("NVIDIA A100-SXM4-40GB", None),
        ("Apple M3 Max", 12),
        ("Apple M3 Max", None),
        ("Apple M1 (Virtual)", 4),
    ],
)
def test_a_card_with_a_similar_name_is_another_card(name: str, cores: int | None) -> None:
    assert find_card(BUNDLED, name, cpu_cores=cores) is None


@pytest.mark.parametrize(
    ("name", "memory_mib", "gigabytes_per_s"),
    [
        ("NVIDIA GeForce RTX 3060", 12288, 360),
        ("NVIDIA GeForce RTX 3060", 8192, 240),
        ("NVIDIA GeForce RTX 3080", 10240, 760.3),
        ("NVIDIA GeForce RTX 3080", 12053, 912),
        ("NVIDIA GeForce RTX 4090", 49140, 1008),
        ("Apple M5 Max", 36 * 1024, 460),
        ("Apple M5 Max", 128 * 1024, 614),
        ("Apple M5 Max", None, 614),
    ],
)
def test_of_one_name_the_variant_of_this_memory_is_found(
    name: str, memory_mib: int | None, gigabytes_per_s: float
) -> None:
    memory = None if memory_mib is None else memory_mib * MIB

    card = find_card(BUNDLED, name, memory_bytes=memory)

    assert card is not None
    assert card.bandwidth == round(gigabytes_per_s * 1e9)


@pytest.mark.parametrize("name", ["rtx4090", "RTX 4090", "NVIDIA GeForce RTX 4090", "rtx-4090"])
def test_a_card_is_called_by_its_alias_or_its_name_however_that_is_spaced(name: str) -> None:
    (card,) = cards_called(BUNDLED, name)

    assert (card.alias, card.title) == ("rtx4090", "NVIDIA GeForce RTX 4090")


@pytest.mark.parametrize("name", ["", "nvidia", "geforce", "rtx", "rtx40900", "4090"])
def test_half_a_name_calls_no_card(name: str) -> None:
    assert cards_called(BUNDLED, name) == ()


@pytest.mark.parametrize("card", BUNDLED, ids=lambda card: card.alias)
def test_every_bundled_card_can_be_planned_for(card: Card) -> None:
    assert card.alias
    assert card.memory_sizes
    assert card.bandwidth
    assert card.kind.value == ("metal" if card.source == "apple.toml" else "cuda")
    assert (card.compute_capability is None) == (card.source == "apple.toml")


def test_no_two_bundled_cards_go_by_one_alias_and_size() -> None:
    called = [(card.alias, size) for card in BUNDLED for size in card.memory_sizes]

    assert len(set(called)) == len(called)


@pytest.mark.parametrize(
    ("alias", "gigabytes", "told_mib"),
    [("l40s", 48, 46068), ("h200", 141, 143771), ("rtx5090", 32, 32607), ("rtx5060ti", 8, 8151)],
)
def test_a_size_is_found_as_it_is_sold(alias: str, gigabytes: int, told_mib: int) -> None:
    (card,) = cards_called(BUNDLED, alias)

    assert card.size_near(gigabytes * GIB) == told_mib * MIB
    assert card.size_near(told_mib * MIB) == told_mib * MIB
    assert card.size_near(24 * GIB) is None


def test_an_unknown_card_has_no_bandwidth_and_says_so(probe_in: Probe) -> None:
    machine = probe_in("laptop")

    card = machine["devices"][0]
    assert (card["bandwidth"], card["half_precision_flops"]) == (None, None)
    assert card["memory_usable"] == card["memory_total"] - 1 * GIB
    assert machine["warnings"] == [
        "cuda:0 (NVIDIA GeForce RTX 4090 Laptop GPU): no profile gives its memory bandwidth, "
        "so its speed cannot be predicted before it is measured."
    ]


def test_a_profile_decides_the_reserve(probe_in: Probe, tmp_path: Path) -> None:
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware" / "mine.toml").write_text(GOOD)

    card = probe_in("rtx5090", profiles=tmp_path)["devices"][0]

    assert card["memory_usable"] == card["memory_total"] - 3 * GIB
    assert (card["bandwidth"], card["sources"]["bandwidth"]) == (10**12, "mine.toml")


def test_a_card_without_a_display_output_keeps_nothing_for_a_desktop(probe_in: Probe) -> None:
    card = probe_in("h100")["devices"][0]

    assert card["memory_usable"] == card["memory_free"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (GOOD.replace("bandwidth_gb_s", "bandwith_gb_s"), "bandwith_gb_s"),
        (GOOD.replace("bandwidth_gb_s = 1000", 'bandwidth_gb_s = "fast"'), "bandwidth_gb_s"),
        (GOOD.replace("1000", "-1"), "bandwidth_gb_s"),
        (GOOD.replace('names = ["NVIDIA GeForce RTX 5090"]', ""), "names"),
        (GOOD.replace('["NVIDIA GeForce RTX 5090"]', "[]"), "names"),
        (GOOD.replace("format = 1", "format = 2"), "format"),
        (GOOD.replace("format = 1", ""), "format"),
        (GOOD.replace("[[cards]]", "[[cards"), "line 2"),
        (GOOD + 'alias = "RTX 5090"', "alias"),
        (GOOD + "memory_mib = 32607", "memory_mib"),
        (GOOD + "memory_mib = [0]", "memory_mib"),
        (GOOD + 'compute_capability = "sm_120"', "compute_capability"),
        ('kind = "rocm"\n' + GOOD, "kind"),
    ],
)
def test_a_wrong_profile_is_an_error_that_names_file_and_field(
    tmp_path: Path, text: str, field: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)

    with pytest.raises(ConfigError) as error:
        read_cards(tmp_path)

    assert str(tmp_path / "mine.toml") in error.value.what
    assert field in error.value.why
