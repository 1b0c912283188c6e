"""What config.toml and the environment may say, and what is said of a mistake in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.config import Settings, read_settings
from localllm.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(file: Path, text: str, environment: dict[str, str] | None = None) -> ConfigError:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_settings(file, environment or {})
    return caught.value


def test_without_a_file_everything_is_the_default_and_no_file_is_made(file: Path) -> None:
    settings = read_settings(file, {})

    assert settings == Settings()
    assert (settings.port, settings.allow_cpu, settings.engine) == (11711, False, None)
    assert not file.exists()


def test_the_file_changes_what_it_names_and_nothing_else(file: Path) -> None:
    file.write_text('port = 8080\norigins = ["http://a"]\n[supervision]\nmax_crashes = 5\n')

    settings = read_settings(file, {})

    assert (settings.port, settings.origins) == (8080, ("http://a",))
    assert settings.supervision.max_crashes == 5
    assert settings.supervision.stable_after_s == Settings().supervision.stable_after_s
    assert settings.max_body_mib == Settings().max_body_mib


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ({"LOCALLLM_PORT": "9000"}, "port", 9000),
        ({"LOCALLLM_PORT": ""}, "port", 8080),
        ({"LOCALLLM_ENGINE": "llama-server"}, "engine", "llama-server"),
        ({"LOCALLLM_LLAMA_SERVER": "/opt/ls"}, "llama_server", "/opt/ls"),
        ({"LOCALLLM_ALLOW_CPU": "true"}, "allow_cpu", True),
        ({"LOCALLLM_ALLOW_CPU": "1"}, "allow_cpu", True),
        ({"LOCALLLM_MAX_BODY_MIB": "8"}, "max_body_mib", 8),
        ({"LOCALLLM_HOME": "/x", "PORT": "1"}, "port", 8080),
    ],
)
def test_the_environment_goes_over_the_file(
    file: Path, said: dict[str, str], field: str, value: object
) -> None:
    file.write_text('port = 8080\nengine = "xllamacpp"\n')

    assert getattr(read_settings(file, said), field) == value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 80", "prot"),
        ("[supervision]\nmax_crash = 1", "max_crash"),
        ('port = "80"', "$.port"),
        ('allow_cpu = "yes"', "$.allow_cpu"),
        ('origins = "http://a"', "$.origins"),
        ("[supervision]\nmax_crashes = 1.5", "$.supervision.max_crashes"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(file: Path, text: str, named: str) -> None:
    error = refusal(file, text)

    assert named in error.why
    assert str(file) in error.what
    assert str(file) in error.fix
    assert error.exit_code == 2


def test_a_wrong_variable_is_named(file: Path) -> None:
    error = refusal(file, "", {"LOCALLLM_PORT": "many"})

    assert "LOCALLLM_PORT" in error.what
    assert "$.port" in error.why


def test_a_word_is_a_number_in_the_environment_alone(file: Path) -> None:
    error = refusal(file, 'max_body_mib = "8"', {"LOCALLLM_PORT": "9000"})

    assert "$.max_body_mib" in error.why


@pytest.mark.parametrize("text", [b"port = ", b"port = 1\nport = 2", b"# \xff"])
def test_a_file_that_is_no_toml_is_an_error_that_names_it(file: Path, text: bytes) -> None:
    file.write_bytes(text)

    with pytest.raises(ConfigError) as caught:
        read_settings(file, {})

    assert f"{file} cannot be read." == caught.value.what


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("port = 0", ">= 1 - at `$.port`"),
        ("port = -1", ">= 1 - at `$.port`"),
        ("port = 65536", "<= 65535 - at `$.port`"),
        ("max_body_mib = 0", ">= 1 - at `$.max_body_mib`"),
        ("[supervision]\nmax_crashes = 0", ">= 1 - at `$.supervision.max_crashes`"),
        ("[supervision]\nrequest_wait_s = -1", "> 0.0 - at `$.supervision.request_wait_s`"),
    ],
)
def test_a_figure_out_of_range_is_an_error_with_its_bound(file: Path, text: str, why: str) -> None:
    error = refusal(file, text)

    assert why in error.why
    assert str(file) in error.what
