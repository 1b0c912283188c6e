"""What is kept of measurements, and which of them corrects a plan."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from filelock import FileLock

from localllm.fit.plan import Memory, Plan
from localllm.fit.speed import Speed
from localllm.planning.ledger import (
    FORMAT,
    KEPT,
    Entry,
    Setting,
    best_known,
    corrected,
    excess_bytes,
    in_the_log,
    read_ledger,
    remember,
    setting_of,
)
from localllm.versioned import NewerFile
from tests.unit.planning.a_machine import a_card, a_plan, cuda

SETTING = Setting(
    engine="xllamacpp",
    version="2026.10",
    quant="Q4_K_M",
    file_bytes=5_000_000_000,
    architecture="qwen3",
    devices=("NVIDIA GeForce RTX 4090",),
    layers=(37, 0),
    experts_on_host=0,
    context=32768,
    parallel=1,
    kv_type="f16",
    micro_batch=512,
)
PREDICTED = Speed(
    decode_tps=100.0,
    decode_full_tps=80.0,
    decode_low_tps=81.0,
    decode_high_tps=110.0,
    prefill_tps=5000.0,
    prefill_low_tps=2500.0,
    prefill_high_tps=5750.0,
)


def a_setting(**other: Any) -> Setting:
    return msgspec.structs.replace(SETTING, **other)


def an_entry(setting: Setting = SETTING, **other: Any) -> Entry:
    plain: dict[str, Any] = {
        "predicted_bytes": 6_000_000_000,
        "measured_bytes": 6_100_000_000,
        "decode_tps": 90.0,
        "prefill_tps": 4000.0,
        "at": 1.8e9,
    }
    return Entry(setting=setting, **{**plain, **other})


def predicted(speed: Speed | None = PREDICTED) -> Plan:
    return replace(a_plan().plan, speed=speed)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.json"


def test_without_a_file_nothing_is_known_and_none_is_made(file: Path) -> None:
    assert read_ledger(file) == ()
    assert not file.parent.exists()


def test_what_is_remembered_is_read_again_the_newest_last(file: Path) -> None:
    first, second = an_entry(), an_entry(a_setting(context=4096), measured_bytes=None)

    remember(file, first)
    remember(file, second)

    assert read_ledger(file) == (first, second)


def test_a_newer_start_of_the_same_setting_takes_the_place_of_the_older(file: Path) -> None:
    other = an_entry(a_setting(context=4096))
    for entry in (an_entry(), other, an_entry(decode_tps=95.0)):
        remember(file, entry)

    assert read_ledger(file) == (other, an_entry(decode_tps=95.0))


def test_only_the_newest_are_kept(file: Path) -> None:
    many = [msgspec.to_builtins(an_entry(a_setting(context=n + 1))) for n in range(KEPT)]
    file.parent.mkdir()
    file.write_bytes(msgspec.json.encode({"format": FORMAT, "entries": many}))

    remember(file, an_entry(a_setting(context=KEPT + 1)))

    contexts = [entry.setting.context for entry in read_ledger(file)]
    assert contexts == list(range(2, KEPT + 2))


def test_the_file_is_its_users_alone(file: Path) -> None:
    remember(file, an_entry())

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir() if one.suffix == ".draft"] == []


def test_starts_that_end_at_once_are_all_kept(file: Path) -> None:
    entries = [an_entry(a_setting(context=n + 1)) for n in range(16)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda entry: remember(file, entry), entries))

    assert {e.setting.context for e in read_ledger(file)} == set(range(1, 17))


BROKEN = [
    b"",
    b"\xff",
    b"[]",
    b'{"format": 1, "entries": [{}]}',
    b'{"format": 1, "entries": [], "more": 1}',
]
NEWER = b'{"format": 2, "entries": []}'


@pytest.mark.parametrize("text", [*BROKEN, NEWER])
def test_a_broken_or_foreign_file_is_nothing_known_and_stays_as_it_is(
    file: Path, text: bytes
) -> None:
    file.parent.mkdir()
    file.write_bytes(text)

    assert read_ledger(file) == ()
    assert file.read_bytes() == text


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_or_foreign_file_is_set_aside_before_another_is_written(
    file: Path, text: bytes
) -> None:
    file.parent.mkdir()
    file.write_bytes(text)

    remember(file, an_entry())

    assert read_ledger(file) == (an_entry(),)
    assert file.with_name("ledger.json.broken").read_bytes() == text


def test_a_file_of_a_newer_version_is_not_written_over(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(NEWER)

    with pytest.raises(NewerFile):
        remember(file, an_entry())

    assert [(f.name, f.read_bytes()) for f in file.parent.glob("*.json*")] == [(file.name, NEWER)]


def test_a_good_file_is_not_set_aside(file: Path) -> None:
    remember(file, an_entry())
    remember(file, an_entry(decode_tps=91.0))

    assert not file.with_name("ledger.json.broken").exists()


def test_a_plans_own_run_goes_before_a_newer_one_in_another_setting() -> None:
    own, other = an_entry(), an_entry(a_setting(context=4096), decode_tps=99.0)

    assert best_known((own, other), SETTING) == own


@pytest.mark.parametrize(
    "other",
    [
        {"version": "2026.11"},
        {"context": 4096},
        {"parallel": 4},
        {"kv_type": "q8_0"},
        {"micro_batch": 128},
    ],
)
def test_the_same_file_on_the_same_devices_is_known_from_another_setting(
    other: dict[str, Any],
) -> None:
    entry = an_entry(a_setting(**other))

    assert best_known((entry,), SETTING) == entry


@pytest.mark.parametrize(
    "other",
    [
        {"engine": "llama-server"},
        {"quant": "Q8_0"},
        {"file_bytes": 5_000_000_001},
        {"architecture": "llama"},
        {"devices": ("NVIDIA GeForce RTX 5090",)},
        {"devices": ()},
        {"layers": (30, 7)},
        {"experts_on_host": 4},
    ],
)
def test_another_file_engine_or_place_says_nothing(other: dict[str, Any]) -> None:
    assert best_known((an_entry(a_setting(**other)),), SETTING) is None


def test_of_other_settings_the_newest_that_has_a_speed_counts() -> None:
    old = an_entry(a_setting(context=1), decode_tps=80.0)
    new = an_entry(a_setting(context=2), decode_tps=90.0)
    silent = an_entry(a_setting(context=3), decode_tps=None)

    assert best_known((old, new, silent), SETTING) == new


def test_a_measured_speed_replaces_the_prediction_and_its_range() -> None:
    speed = corrected(predicted(), an_entry(prompt_tokens=700)).speed

    assert speed == Speed(
        decode_tps=90.0,
        decode_full_tps=pytest.approx(72.0),
        decode_low_tps=None,
        decode_high_tps=None,
        prefill_tps=4000.0,
        measured=True,
    )


def test_reading_a_prompt_stays_a_predicted_range_where_only_generating_was_measured() -> None:
    speed = corrected(predicted(), an_entry(prefill_tps=None)).speed

    assert speed is not None
    assert (speed.decode_tps, speed.decode_low_tps) == (90.0, None)
    assert (speed.prefill_low_tps, speed.prefill_tps, speed.prefill_high_tps) == (
        2500.0,
        5000.0,
        5750.0,
    )


def test_a_speed_is_known_from_a_run_where_none_could_be_predicted() -> None:
    speed = corrected(predicted(None), an_entry(prefill_tps=None)).speed

    assert speed is not None
    assert (speed.decode_tps, speed.measured) == (90.0, True)
    assert (speed.decode_full_tps, speed.prefill_tps) == (None, None)


@pytest.mark.parametrize("known", [None, an_entry(decode_tps=None), an_entry(decode_tps=0.0)])
def test_what_measured_no_speed_changes_no_plan(known: Entry | None) -> None:
    assert corrected(predicted(), known) == predicted()


def test_a_measurement_is_kept_under_what_the_plan_decided() -> None:
    planned = a_plan(device=a_card(), seen=cuda())

    setting = setting_of(planned.plan, planned.header, planned.choice)

    assert (setting.engine, setting.version, setting.quant) == ("xllamacpp", "1.0", "Q4_1")
    assert (setting.file_bytes, setting.context) == (planned.header.file_bytes, 4096)
    assert setting.devices == ("NVIDIA GeForce RTX 4090",)
    assert setting.layers == tuple(p.layers for p in planned.plan.placement)


def test_a_device_without_layers_is_not_among_those_measured() -> None:
    planned = a_plan(device=a_card(), seen=cuda())
    card, host = planned.plan.placement
    empty = replace(planned.plan, placement=(replace(card, layers=0), host))

    setting = setting_of(empty, planned.header, planned.choice)

    assert (setting.devices, setting.layers) == ((), (0, host.layers))


def test_a_plan_on_the_processor_alone_names_no_device() -> None:
    planned = a_plan()

    assert setting_of(planned.plan, planned.header, planned.choice).devices == ()


@pytest.mark.parametrize(
    ("predicted_bytes", "measured_bytes", "excess"),
    [(100, 130, 30), (100, 100, 0), (130, 100, 0), (100, None, 0)],
)
def test_what_a_start_took_beyond_its_plan_is_known_for_the_same_plan(
    predicted_bytes: int, measured_bytes: int | None, excess: int
) -> None:
    known = an_entry(predicted_bytes=predicted_bytes, measured_bytes=measured_bytes)

    assert excess_bytes(known, SETTING) == excess
    assert excess_bytes(known, a_setting(context=512)) == 0
    assert excess_bytes(None, SETTING) == 0


def test_a_log_does_not_speak_of_a_runtime_a_projector_or_what_comes_with_prompts() -> None:
    memory = Memory(1, 2, 3, 4, recurrent_state=5, projector=60, overhead=70, checkpoints=80)

    assert in_the_log(memory) == 15


@pytest.mark.parametrize(
    ("tokens", "tps", "low"), [(None, 5000.0, 2500.0), (511, 5000.0, 2500.0), (512, 4000.0, None)]
)
def test_only_a_long_prompt_tells_how_fast_prompts_are_read(tokens, tps, low) -> None:
    speed = corrected(predicted(), an_entry(prompt_tokens=tokens)).speed

    assert speed is not None
    assert (speed.prefill_tps, speed.prefill_low_tps) == (tps, low)


def test_a_short_prompt_is_better_than_none_where_nothing_is_predicted() -> None:
    unknown = replace(PREDICTED, prefill_tps=None, prefill_low_tps=None, prefill_high_tps=None)

    speed = corrected(predicted(unknown), an_entry(prompt_tokens=33)).speed

    assert speed is not None
    assert speed.prefill_tps == 4000.0


def test_a_lock_that_nobody_lets_go_of_is_an_error_of_the_disk(file: Path, monkeypatch) -> None:
    monkeypatch.setattr("localllm.planning.ledger.LOCK_WITHIN_S", 0.01)
    file.parent.mkdir()

    with FileLock(file.with_suffix(".lock")), ThreadPoolExecutor(1) as pool:
        with pytest.raises(OSError, match="lock"):
            pool.submit(remember, file, an_entry()).result()
