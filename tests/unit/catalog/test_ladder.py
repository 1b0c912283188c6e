"""The ladder: what a quantization's name says of its quality, and what nobody knows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from localllm.catalog.ladder import NATIVE, Advice, Ladder, estimated_size, read_ladder
from localllm.errors import ConfigError
from localllm.paths import bundled_profiles


@pytest.fixture(scope="module")
def ladder() -> Ladder:
    return read_ladder(bundled_profiles())


@pytest.mark.parametrize(
    ("written", "rung"),
    [
        ("Q4_K_M", "Q4_K_M"),
        ("q4_k_m", "Q4_K_M"),
        ("UD-Q4_K_XL", "Q4_K_M"),
        ("Q4_K_L", "Q4_K_M"),
        ("i1-Q4_K_M", "Q4_K_M"),
        ("UD-IQ4_XS", "IQ4_XS"),
        ("i1-IQ3_XXS", "IQ3_XXS"),
        ("MXFP4_MOE", "MXFP4"),
        ("MXFP4-Q8", "MXFP4"),
        ("UD-Q8_K_XL", "Q8_0"),
        ("bf16", "F16"),
        ("4bit", "4bit"),
        ("4bit-DWQ", "4bit"),
        ("8bit", "8bit"),
    ],
)
def test_a_name_finds_its_rung_however_a_repository_writes_it(
    ladder: Ladder, written: str, rung: str
) -> None:
    found = ladder.rung(written)

    assert found is not None
    assert found.name == rung


@pytest.mark.parametrize("written", ["", "Q4", "Q9_K", "4", "IQ4_KS", "UD-"])
def test_an_unknown_name_has_no_rung_and_no_place(ladder: Ladder, written: str) -> None:
    assert ladder.rung(written) is None
    assert ladder.place(written) is None


def test_no_name_is_on_two_rungs(ladder: Ladder) -> None:
    names = Counter(name.upper() for name in ladder.names())

    assert names.most_common(1)[0][1] == 1


def test_the_preferred_order_is_the_one_the_figures_and_the_judgement_give(ladder: Ladder) -> None:
    order = ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q4_K_S", "Q4_0", "Q3_K_M", "Q2_K"]

    places = [ladder.place(name) for name in order]

    assert None not in places
    assert places == sorted(places, key=lambda place: place or 0)


def test_what_the_maker_ships_goes_before_all_else(ladder: Ladder) -> None:
    native, made_later = ladder.place("Q4_0", native=True), ladder.place("Q4_0")

    assert native == NATIVE
    assert made_later is not None
    assert all((ladder.place(rung.name) or 0) > NATIVE for rung in ladder.rungs)


def test_a_smaller_divergence_is_a_better_rung_but_for_the_one_that_says_why(
    ladder: Ladder,
) -> None:
    measured = [r for r in ladder.rungs if r.kld is not None and r.name != "Q4_K_S"]

    assert [r.kld for r in measured] == sorted(r.kld for r in measured if r.kld is not None)
    small = ladder.rung("Q4_K_S")
    assert small is not None
    assert "IQ4_XS" in small.reason


def test_three_bits_come_with_a_warning_and_fewer_only_on_request(ladder: Ladder) -> None:
    advice = {name: getattr(ladder.rung(name), "advice", None) for name in ("Q3_K_M", "Q2_K")}

    assert advice == {"Q3_K_M": Advice.WARN, "Q2_K": Advice.ON_REQUEST}


def test_what_nobody_measured_is_unknown(ladder: Ladder) -> None:
    assert [getattr(ladder.rung(name), "kld", 0) for name in ("4bit", "MXFP4")] == [None, None]


def test_an_estimated_size_is_within_a_percent_for_the_model_that_was_measured(
    ladder: Ladder,
) -> None:
    rung = ladder.rung("Q4_K_M")
    assert rung is not None

    estimate = estimated_size(8_030_261_248, rung)

    assert estimate == pytest.approx(4_920_739_232, rel=0.01)


def test_nothing_is_estimated_from_unknown_bits_or_no_parameters(ladder: Ladder) -> None:
    unknown, known = ladder.rung("Q4_0"), ladder.rung("Q8_0")
    assert unknown is not None
    assert known is not None

    assert estimated_size(1000, unknown) is None
    with pytest.raises(ValueError, match="0 parameters"):
        estimated_size(0, known)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("format = 1\n", "rungs"),
        ('format = 1\n[[rungs]]\nname = "Q"\nadvice = "maybe"\nreason = ""\n', "rungs[0].advice"),
        ("format = 2\nrungs = []\n", "$.format"),
        ("format = 1\nrungs\n", "line 2"),
    ],
)
def test_a_broken_ladder_names_file_and_field(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "quantizations.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        read_ladder(tmp_path)

    assert str(file) in caught.value.what
    assert field in caught.value.why
