"""What differs between two states of the settings, and what it takes for that to count."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.api.views import ServeRequest
from localllm.config.leaves import changes_between
from localllm.config.reading import read_settings
from localllm.config.settings import Settings
from localllm.supervisor.outdated import outdated_by


def read(folder: Path, text: str) -> Settings:
    (folder / "config.toml").write_text(text)
    return read_settings(folder / "config.toml", {})


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("", "", []),
        ("port = 1", "port = 2", [("port", 1, 2, "daemon")]),
        ("", "origins = ['http://a']", [("origins", [], ["http://a"], "live")]),
        ("engine = 'a'", "", [("engine", "a", None, "model")]),
        ("", "[prefix]\nenabled = false", [("prefix.enabled", True, False, "model")]),
        ("", "[prefix]\nmax_gib = 1", [("prefix.max_gib", None, 1.0, "live")]),
        ("", "[profiles.a]\ncontext = 1", [("profiles.a.context", None, 1, "model")]),
        ("[profiles.a]\ncontext = 1", "", [("profiles.a.context", 1, None, "model")]),
        ("", "[profiles.a]\n[cost.apis]", []),
        (
            "",
            "[cost.apis.a]\ninput = 0\noutput = 2",
            [("cost.apis.a.input", None, 0.0, "live"), ("cost.apis.a.output", None, 2.0, "live")],
        ),
        ("", "[names.map]\na = 'b'", [("names.map", {}, {"a": "b"}, "live")]),
        (
            "[profiles.a]\ncontext = 1\nkeep_alive = '1m'",
            "[profiles.a]\ncontext = 2\nkeep_alive = '2m'",
            [
                ("profiles.a.context", 1, 2, "model"),
                ("profiles.a.keep_alive", "1m", "2m", "live"),
            ],
        ),
        (
            "[[profiles.a.lora]]\nfile = 'a'",
            "[[profiles.a.lora]]\nfile = 'b'",
            [("profiles.a.lora[0].file", "a", "b", "model")],
        ),
    ],
)
def test_each_change_is_named_with_what_it_takes(
    tmp_path: Path, old: str, new: str, changes: list[tuple[str, object, object, str]]
) -> None:
    found = changes_between(read(tmp_path, old), read(tmp_path, new))

    assert [(c.key, c.old, c.new, c.effect.value) for c in found] == changes


A, CODING = ServeRequest(model="a"), ServeRequest(profile="coding")
BEFORE = "[profiles.coding]\nmodel = 'a'\ncontext = 1\n[profiles.other]\n"


@pytest.mark.parametrize(
    ("asked", "engine", "new", "outdated"),
    [
        (CODING, "x", BEFORE.replace("1", "2"), True),
        (ServeRequest(profile="coding", context=5), "x", BEFORE.replace("1", "2"), False),
        (ServeRequest(profile="other"), "x", BEFORE.replace("1", "2"), False),
        (A, "x", BEFORE.replace("1", "2"), False),
        (CODING, "x", BEFORE.replace("context = 1", "context = 1\nkeep_alive = '1h'"), False),
        (A, "x", f"engine = 'y'\n{BEFORE}", True),
        (ServeRequest(model="a", engine="x"), "x", f"engine = 'y'\n{BEFORE}", False),
        (A, "x", f"llama_server = '/a'\n{BEFORE}", False),
        (A, "llama-server", f"llama_server = '/a'\n{BEFORE}", True),
        (A, "x", f"port = 1\nauth = 'always'\n{BEFORE}", False),
        (A, "x", f"{BEFORE}[prefix]\nenabled = false\n", True),
    ],
)
def test_a_model_is_started_anew_for_what_it_is_served_by_unless_it_was_asked_for_otherwise(
    tmp_path: Path, asked: ServeRequest, engine: str, new: str, outdated: bool
) -> None:
    before, after = read(tmp_path, BEFORE), read(tmp_path, new)

    found = outdated_by(asked, engine, changes_between(before, after), after)

    assert bool(found) is outdated
