"""The whole catalog on machines that are not here: as recorded, and as is known of them.

scripts/golden_plans writes tests/data/golden anew; what changes there is to be read.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

import pytest

from localllm.catalog.ladder import read_ladder
from localllm.catalog.profile import read_profiles
from localllm.fit.plan import Plan, Verdict
from localllm.hardware.described import describe_machine
from tests.fakes.installation import ROOT

SCRIPT, PROFILES = ROOT / "scripts" / "golden_plans", ROOT / "profiles"
CHAT_TOKENS = 16_384


def _load() -> ModuleType:
    loader = SourceFileLoader("golden_plans", str(SCRIPT))
    spec = spec_from_loader("golden_plans", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


golden_plans = _load()


@cache
def plan_of(model: str, quant: str, machine: str) -> Plan:
    """The plan that a user gets, its buffers replayed."""
    [profile] = [p for p in read_profiles(PROFILES) if p.id == model]
    described = describe_machine(machine, PROFILES)
    found = golden_plans.considered_of(
        profile, described, read_ladder(PROFILES), exact=True, only=quant
    )
    [plan] = [one.plan for one in found]
    assert isinstance(plan, Plan)
    return plan


def layers(plan: Plan) -> Sequence[int]:
    """Of each device in order, then of the host."""
    return [placed.layers for placed in plan.placement]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("machine", golden_plans.MACHINES)
def test_the_catalog_on_a_machine_is_as_recorded(machine: str) -> None:
    changed = golden_plans.difference(machine, golden_plans.golden(machine))

    assert not changed, f"{changed}\nif it is meant: scripts/golden_plans {machine}"


def test_every_recorded_table_is_one_that_is_checked() -> None:
    recorded = {file.stem for file in golden_plans.GOLDEN.iterdir()}

    assert recorded == set(golden_plans.MACHINES)


def test_the_script_says_what_differs_and_fails() -> None:
    ran = subprocess.run(
        [sys.executable, SCRIPT, "--check", "cpu-64"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 1
    assert "--- cpu-64, as recorded" in ran.stdout
    assert "\n+qwen3-8b " in ran.stdout
    assert not (golden_plans.GOLDEN / "cpu-64.txt").exists()


@pytest.mark.timeout(60)
def test_a_70b_in_4_bits_is_on_two_5090_and_on_one_only_with_the_processor() -> None:
    two, one = (plan_of("llama-3.3-70b", "Q4_K_M", m) for m in ("2xrtx5090", "rtx5090"))

    assert (two.verdict, two.context >= CHAT_TOKENS) == (Verdict.FITS, True)
    assert (min(layers(two)[:2]) > 0, layers(two)[2]) == (True, 0)
    assert (one.verdict, layers(one)[1] > 0) == (Verdict.FITS_PARTLY, True)


@pytest.mark.timeout(60)
def test_a_32b_in_4_bits_is_on_a_4090() -> None:
    plan = plan_of("qwen3-32b", "Q4_K_M", "rtx4090")

    assert (plan.verdict, plan.context >= CHAT_TOKENS) == (Verdict.FITS, True)


@pytest.mark.timeout(60)
def test_gpt_oss_20b_is_on_a_card_with_16_gb() -> None:
    plan = plan_of("gpt-oss-20b", "MXFP4", "rtx5080")

    assert (plan.verdict, plan.context >= CHAT_TOKENS) == (Verdict.FITS, True)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("machine", ["m3-ultra-512", "2xh200"])
def test_deepseek_v4_flash_is_on_a_mac_with_512_gb_and_on_two_h200(machine: str) -> None:
    plan = plan_of("deepseek-v4-flash", "MXFP4", machine)

    assert (plan.verdict, plan.context >= CHAT_TOKENS) == (Verdict.FITS, True)
    assert layers(plan)[-1] == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("machine", ["rtx5080", "rtx4090", "rtx5090", "h200", "m4-max-128"])
def test_deepseek_v4_flash_is_whole_on_no_single_card_nor_a_mac_with_128_gb(machine: str) -> None:
    assert plan_of("deepseek-v4-flash", "MXFP4", machine).verdict is not Verdict.FITS


@pytest.mark.timeout(60)
def test_phi_4_mini_in_4_bits_is_on_a_mac_with_8_gb() -> None:
    plan = plan_of("phi-4-mini", "Q4_K_M", "m1-8")

    assert (plan.verdict, plan.context >= CHAT_TOKENS) == (Verdict.FITS, True)
