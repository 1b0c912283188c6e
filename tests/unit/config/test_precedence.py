"""Flag over environment over profile over config over catalog, for everything that more than one may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.api.views import ServeRequest
from localllm.config.current import Current
from localllm.config.origins import Value, values_of
from localllm.config.reading import Loaded, load
from localllm.paths import bundled_profiles, paths_for
from localllm.planning.desk import Desk
from localllm.planning.effective import applying

QWEN = "qwen3-8b"
FILE = f"""\
port = 80
engine = "xllamacpp"
[supervision]
keep_alive = "5m"
[profiles.full]
model = "{QWEN}"
use = "code"
context = 1000
parallel = 2
quant = "Q4_K_M"
kv_type = "q8_0"
engine = "vllm"
keep_alive = "2h"
sampling = {{ top_k = 7 }}
[profiles.bare]
model = "{QWEN}"
"""


def a_desk(home: Path, text: str = FILE, **variables: str) -> Desk:
    environment = {"HOME": str(home), "LOCALLLM_HOME": str(home), "HF_HOME": str(home), **variables}
    paths = paths_for(environment)
    paths.config.mkdir()
    paths.config_file.write_text(text)
    current = Current(load(paths.config_file, environment))
    return Desk(current, paths, environment, bundled_profiles())


def told(values: list[Value] | tuple[Value, ...]) -> dict[str, tuple[object, str]]:
    return {one.key: (one.value, one.source.value) for one in values}


FLAGS = ServeRequest(
    model=QWEN,
    profile="full",
    use="chat",
    context=9,
    parallel=3,
    quant="Q8_0",
    kv_type="f16",
    engine="mlx",
    keep_alive="9m",
)


@pytest.mark.parametrize(
    ("key", "flag", "profile", "nobody"),
    [
        ("use", "chat", "code", ("chat", "default")),
        ("context", 9, 1000, (None, "planner")),
        ("parallel", 3, 2, (None, "planner")),
        ("quant", "Q8_0", "Q4_K_M", (None, "planner")),
        ("kv_type", "f16", "q8_0", (None, "planner")),
        ("engine", "mlx", "vllm", ("xllamacpp", "config")),
        ("keep_alive", "9m", "2h", ("forever", "default")),
    ],
)
def test_of_a_model_the_flag_goes_over_the_profile_and_this_over_the_rest(
    tmp_path: Path, key: str, flag: object, profile: object, nobody: object
) -> None:
    desk = a_desk(tmp_path)

    shown = [
        told([*applying(desk, asked)])[key]
        for asked in (FLAGS, ServeRequest(profile="full"), ServeRequest(profile="bare"))
    ]

    assert shown == [(flag, "flag"), (profile, "profile"), nobody]
    meant = [desk.resolved(ServeRequest(profile=name))[0] for name in ("full", "bare")]
    assert getattr(desk.resolved(FLAGS)[0], key) == flag, "as it is planned"
    assert getattr(meant[0], key) == profile, "as it is planned"
    assert getattr(meant[1], key) is None


@pytest.mark.parametrize(
    ("variable", "said", "key", "with_flag"),
    [
        ("LOCALLLM_ENGINE", "sglang", "engine", "mlx"),
        ("LOCALLLM_SUPERVISION_KEEP_ALIVE", "1m", "keep_alive", "9m"),
    ],
)
def test_the_environment_goes_between_them(
    tmp_path: Path, variable: str, said: str, key: str, with_flag: str
) -> None:
    desk = a_desk(tmp_path, **{variable: said})

    assert told([*applying(desk, ServeRequest(profile="full"))])[key] == (said, "environment")
    assert getattr(desk.resolved(ServeRequest(profile="full"))[0], key) == said
    assert told([*applying(desk, FLAGS)])[key] == (with_flag, "flag")


def test_a_request_that_loads_a_model_has_it_stay_as_long_as_the_settings_say(
    tmp_path: Path,
) -> None:
    desk, bare = a_desk(tmp_path), ServeRequest(profile="bare")

    assert told([*applying(desk, bare, for_a_request=True)])["keep_alive"] == ("5m", "config")


def test_of_sampling_the_profile_goes_over_the_catalog(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)

    shown = told([*applying(desk, ServeRequest(profile="full"))])

    catalog = desk.profile(QWEN)
    assert catalog is not None
    assert catalog.sampling is not None
    assert shown["sampling.top_k"] == (7, "profile")
    assert shown["sampling.top_p"] == (catalog.sampling.top_p, "catalog")


def loaded(folder: Path, flags: dict[str, object], **variables: str) -> Loaded:
    file = folder / "config.toml"
    file.write_text(FILE)
    return load(file, variables, flags)


def test_of_a_setting_the_flag_goes_over_the_variable_this_over_the_file_and_this_over_the_default(
    tmp_path: Path,
) -> None:
    def port(flags: dict[str, object], **variables: str) -> Value:
        found = values_of(loaded(tmp_path, flags, **variables))
        return next(one for one in found if one.key == "port")

    file = tmp_path / "config.toml"
    assert port({"port": 1}, LOCALLLM_PORT="2") == Value(
        "port", 1, port({"port": 1}).source, "--port"
    )
    assert port({}, LOCALLLM_PORT="2").where == "LOCALLLM_PORT"
    assert (port({}).value, port({}).where) == (80, f"{file}:1")
    other = {one.key: one.source.value for one in values_of(loaded(tmp_path, {}))}
    assert (other["auth"], other["profiles.full.context"]) == ("default", "config")


def test_each_setting_has_a_variable_lists_by_commas_and_a_wrong_one_is_named(
    tmp_path: Path,
) -> None:
    settings = loaded(
        tmp_path,
        {},
        LOCALLLM_DOWNLOADS_AT_ONCE="3",
        LOCALLLM_ORIGINS="http://a,http://b",
        LOCALLLM_PLAN_MIN_TPS_CODE="2.5",
        LOCALLLM_REMOTE_URL="http://far",
    ).settings

    assert settings.downloads.at_once == 3
    assert settings.origins == ("http://a", "http://b")
    assert settings.plan.min_tps.code == 2.5
    assert settings.remote is not None
    assert settings.remote.url == "http://far"
