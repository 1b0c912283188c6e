"""`localllm config`: shown, checked and changed without a daemon."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from localllm.cli import config_check
from localllm.cli.config import command
from localllm.config.default_file import render_default
from localllm.errors import ConfigError, LocalLLMError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("LOCALLLM_PORT", raising=False)
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "config.toml"


def config(*words: str, ok: bool = True) -> Result:
    result = CliRunner().invoke(command, words)
    if isinstance(result.exception, LocalLLMError):
        raise result.exception
    assert (result.exit_code == 0) is ok, result.output
    return result


def told(*words: str, ok: bool = True) -> Any:
    return json.loads(config(*words, "--json", ok=ok).stdout)


def test_the_default_is_written_with_its_schema_and_what_is_there_is_not_lost(file: Path) -> None:
    config("init")
    assert file.read_text() == render_default()
    assert json.loads((file.parent / "config.schema.json").read_text())["$defs"]
    assert file.read_text().startswith("#:schema ./config.schema.json\n")

    file.write_text("port = 80\n")
    with pytest.raises(ConfigError, match="is there already"):
        config("init")
    config("init", "--force")

    assert (file.parent / "config.toml.before").read_text() == "port = 80\n"
    assert config("init", "--print").stdout == file.read_text()


def test_all_mistakes_are_listed_as_compilers_do_and_the_exit_code_says_so(file: Path) -> None:
    file.write_text("prot = 1\n[supervision]\nkeep_alive = 3\n")

    result, view = config("check", ok=False), told("check", ok=False)

    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        f"{file}:1:1: error: there is no setting prot; write port instead of prot",
        f"{file}:3:14: error: supervision.keep_alive is 3, and takes a time, as in 90, 90s, 15m, "
        "2h or 1d, or forever",
    ]
    assert [(one["line"], one["column"], one["key"]) for one in view["mistakes"]] == [
        (1, 1, "prot"),
        (3, 14, "supervision.keep_alive"),
    ]


def test_another_file_is_checked_before_it_is_to_count(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "new.toml"
    other.write_text("port = ")

    assert f"{other}:1:8: error: Invalid value" in config("check", str(other), ok=False).stdout
    assert config("check").stdout == f"{file} is not there: all is as it is by itself\n"


def test_what_will_hardly_do_what_is_wanted_is_a_warning(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALLLM_ALOW_CPU", "1")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        file.write_text(
            f'port = {port}\nlisten = "0.0.0.0"\nengine = "lama-server"\n'
            'llama_server = "/nowhere/llama-server"\n[remote]\nurl = "http://far"\n'
            'key_env = "FAR_KEY"\n[profiles.a]\nmodel = "qwen3-8bb"\nlong_context = 9\n'
            '[[profiles.a.lora]]\nfile = "/nowhere.gguf"\n'
        )

        view = told("check")

    assert view["mistakes"] == []
    found = {(one["line"], one["key"]): (one["message"], one["fix"]) for one in view["warnings"]}
    assert found[(1, "port")][0] == f"another program listens on port {port}"
    assert found[(2, "listen")][1] == "localllm key create NAME"
    assert found[(3, "engine")] == ("there is no engine lama-server", "llama-server is the nearest")
    assert found[(4, "llama_server")][0] == "no program is at /nowhere/llama-server"
    assert found[(5, "remote")][0] == "nothing goes to the remote"
    assert "FAR_KEY is not set" in found[(7, "remote.key_env")][0]
    assert found[(9, "profiles.a.model")][1] == "qwen3-8b is the nearest"
    assert found[(10, "profiles.a.long_context")][1] == "say context, too"
    assert found[(12, "profiles.a.lora[0].file")][0] == "no file is at /nowhere.gguf"
    assert found[(None, None)] == (
        "the variable LOCALLLM_ALOW_CPU is no setting",
        "LOCALLLM_ALLOW_CPU is the nearest",
    )


def test_what_is_right_has_no_warning(file: Path) -> None:
    file.write_text('auth = "always"\n[profiles.a]\nmodel = "qwen3-8b:Q4_K_M"\n')

    assert config("check").stdout == f"{file} is right\n"


def test_the_settings_are_shown_with_where_each_came_from(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("max_body_mib = 8\n[profiles.a]\ncontext = 9\n")
    monkeypatch.setenv("LOCALLLM_PORT", "81")

    by_key = {one["key"]: one for one in told("show")["settings"]}
    table = config("show", "profiles", "--origin").stdout.splitlines()

    assert (by_key["port"]["value"], by_key["port"]["where"]) == (81, "LOCALLLM_PORT")
    assert by_key["max_body_mib"]["where"] == f"{file}:1"
    assert (by_key["auth"]["value"], by_key["auth"]["origin"]) == ("auto", "default")
    assert table[1].split() == ["profiles.a.context", "9", "config", f"{file}:3"]
    assert config("show", "port").stdout == "port = 81\n"
    with pytest.raises(ConfigError, match="There is no setting prot"):
        config("show", "prot")


def test_a_key_is_said_and_taken_back(file: Path) -> None:
    config("set", "profiles.a.context", "4096")
    config("set", "allowed_hosts", "a.lan", "b.lan")

    assert config("show", "allowed_hosts").stdout == 'allowed_hosts = ["a.lan", "b.lan"]\n'
    config("unset", "profiles.a")

    assert "profiles" not in file.read_text()


def test_what_was_edited_counts_only_once_it_is_right(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("port = 80\n")
    monkeypatch.setenv("EDITOR", "sed -i s/80/x/")
    with pytest.raises(ConfigError, match="is not TOML"):
        config("edit")
    assert file.read_text() == "port = 80\n"

    monkeypatch.setenv("EDITOR", "sed -i s/80/81/")
    config("edit")
    assert file.read_text() == "port = 81\n"

    monkeypatch.setenv("EDITOR", "true")
    assert "nothing has changed" in config("edit").stderr


def drafts(file: Path) -> list[Path]:
    return [one for one in file.parent.iterdir() if one.name.startswith("config-")]


def test_an_editor_that_fails_changes_nothing_and_leaves_nothing_behind(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("port = 80\n")
    for editor in ("false", "/nowhere/editor"):
        monkeypatch.setenv("EDITOR", editor)
        with pytest.raises(ConfigError, match="editor has failed"):
            config("edit")

    assert (file.read_text(), drafts(file)) == ("port = 80\n", [])


def test_a_first_look_that_says_nothing_writes_no_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "true")

    assert "nothing has changed" in config("edit").stderr

    assert (file.exists(), drafts(file)) == (False, [])


def test_what_another_has_written_meanwhile_is_not_lost_and_neither_is_what_was_edited(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("port = 80\n")
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\necho 'port = 82' > {file}\nsed -i s/80/81/ $1\n")
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))

    with pytest.raises(ConfigError, match="has changed while you edited"):
        config("edit")

    assert file.read_text() == "port = 82\n"
    assert [one.read_text() for one in drafts(file)] == ["port = 81\n"]


def test_a_port_that_the_service_keeps_for_us_is_no_doubt(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        port = ours.getsockname()[1]
        file.write_text(f"port = {port}\n")
        kept = SimpleNamespace(made_of=SimpleNamespace(sockets=(f"127.0.0.1:{port}",)))
        monkeypatch.setattr(config_check, "installed_service", lambda *_: kept)

        assert config("check").stdout == f"{file} is right\n"


def test_the_path_is_told_whether_or_not_it_is_there(file: Path) -> None:
    assert told("path") == {"path": str(file), "exists": False}
    assert config("path").stdout == f"{file}\n"


def test_without_a_daemon_there_is_nothing_to_reload(file: Path) -> None:
    with pytest.raises(LocalLLMError) as caught:
        config("reload")

    assert caught.value.exit_code == 4


def test_a_password_in_an_address_is_shown_to_nobody(file: Path) -> None:
    file.write_text('engine_mirror = "https://me:hunter2@mirror.example.com"\n')
    assert config("show", "engine_mirror").stdout == (
        'engine_mirror = "https://...@mirror.example.com"\n'
    )

    file.write_text('engine_mirror = "ftp://me:hunter2@mirror.example.com"\n')
    assert "hunter2" not in config("check", ok=False).stdout
