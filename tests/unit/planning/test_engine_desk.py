"""Which engines are asked, and which serves what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from localllm.api.views import ServeRequest
from localllm.config.current import Current
from localllm.config.settings import Settings
from localllm.engines.base import Endpoint, Installed, LaunchSpec, Serving
from localllm.errors import EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.described import describe_machine
from localllm.paths import bundled_profiles, paths_for
from localllm.planning.desk import Desk
from localllm.planning.engine_desk import EngineDesk
from tests.unit.planning.a_machine import XLLAMACPP, a_card, a_machine, a_survey, an_engine, cuda

GGUF = an_engine(XLLAMACPP)
MLX = replace(an_engine("mlx"), formats=frozenset({Format.MLX}))


@dataclass
class Recorded:
    """An engine that notes that it was asked."""

    name: str
    formats: frozenset[Format]
    asked: list[str] = field(default_factory=list)

    def find(self) -> Installed:
        self.asked.append(self.name)
        return replace(an_engine(self.name), formats=self.formats)

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        raise AssertionError


def an_engine_desk(home: Path) -> EngineDesk:
    paths = paths_for({"LOCALLLM_HOME": str(home)})
    return EngineDesk(Settings(), paths, {}, bundled_profiles())


@pytest.mark.parametrize(
    ("formats", "expected"),
    [(None, {"llama", "mlx"}), (Format, {"llama", "mlx", "vllm"}), ([Format.GGUF], {"llama"})],
    ids=["unless told otherwise", "all", "one"],
)
def test_engines_that_take_seconds_to_answer_are_asked_only_where_their_format_is_wanted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    formats: list[Format] | None,
    expected: set[str],
) -> None:
    asked: list[str] = []
    known = [
        Recorded("llama", frozenset({Format.GGUF}), asked),
        Recorded("mlx", frozenset({Format.MLX}), asked),
        Recorded("vllm", frozenset({Format.SAFETENSORS}), asked),
    ]
    monkeypatch.setattr(EngineDesk, "engines", lambda *_: known)
    paths = paths_for({"LOCALLLM_HOME": str(tmp_path)})
    desk = Desk(Current.of(Settings()), paths, {}, bundled_profiles())

    desk.survey() if formats is None else desk.survey(formats=formats)

    assert set(asked) == expected


def test_each_format_gets_an_engine_of_its_own_where_there_is_one(tmp_path: Path) -> None:
    survey = a_survey(a_machine(), GGUF, MLX)

    choices = an_engine_desk(tmp_path).choices(survey, ServeRequest(), Format)

    assert {f: choices.engine(f) for f in Format} == {
        Format.GGUF: XLLAMACPP,
        Format.MLX: "mlx",
        Format.SAFETENSORS: None,
    }


def test_an_engine_that_does_not_reach_the_card_serves_none_of_its_format(tmp_path: Path) -> None:
    survey = a_survey(a_machine(a_card()), an_engine(XLLAMACPP, cuda()), MLX)

    choices = an_engine_desk(tmp_path).choices(survey, ServeRequest(), Format)

    assert set(choices.of) == {Format.GGUF}


def test_without_any_the_first_reason_is_told(tmp_path: Path) -> None:
    survey = a_survey(a_machine(a_card()), GGUF)

    with pytest.raises(EngineUnusable, match="is here, but no engine that is installed can use it"):
        an_engine_desk(tmp_path).choices(survey, ServeRequest(), [Format.GGUF])


@pytest.mark.parametrize(
    ("hardware", "formats"),
    [("m4-max-64", {Format.GGUF, Format.MLX}), ("rtx5090", {Format.GGUF})],
)
def test_a_described_machine_serves_what_exists_for_it(
    tmp_path: Path, hardware: str, formats: set[Format]
) -> None:
    machine = describe_machine(hardware, bundled_profiles())

    _, choices = an_engine_desk(tmp_path).choices_for(machine)

    assert set(choices.of) == formats


def test_an_unknown_build_is_named_with_the_nearest(tmp_path: Path) -> None:
    desk = an_engine_desk(tmp_path)
    candidates = desk.candidates(a_machine())

    assert desk.named("llama-b11146-cpu-x64", candidates)[0].build.drives == "cpu"
    with pytest.raises(EngineUnusable, match="did you mean llama-b11146-cpu-x64") as caught:
        desk.named("llama-b11146-cpu", candidates)
    assert "localllm engine list" in caught.value.fix
