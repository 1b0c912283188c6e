"""The archive for a bug report: secrets are planted everywhere, and none may be in it."""

from __future__ import annotations

import json
import os
import socket
import stat
import zipfile
from pathlib import Path

import msgspec
import pytest

from localllm.api.daemon_file import write_daemon_file
from localllm.api.status_views import ErrorView
from localllm.checkup.anonymous import Anonymous, anonymous
from localllm.checkup.bundle import _variables, write_bundle
from localllm.checkup.finding import Area, Finding, Severity
from localllm.checkup.known import Running
from localllm.checkup.place import Place
from localllm.checkup.report import render_checkup
from tests.fakes.scene_parts import an_instance, not_up
from tests.unit.checkup.a_place import a_daemon_file, a_known, a_place, a_status

TOKEN = "5f" * 32
SECRETS = {
    "the daemon's token": TOKEN,
    "a key of OpenAI's form": "sk-proj-abcdefghijklmnop0123456789",
    "a token of the hub": "hf_QwErTyUiOpAsDfGhJkLz",
    "a key id of AWS": "AKIAIOSFODNN7EXAMPLE",
    "a secret key of AWS": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "a token of GitHub": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "a password of a proxy": "Pr0xy-Pa55",
    "a password with an escape": "p@ss/word+1",
    "a bearer's token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghij",
    "an API key of ours": "llm-own-key-that-nobody-may-see",
    "a key's hash": "9c" * 32,
    "a private address": "192.168.17.23",
    "a mail address": "jane.roe@example.com",
    "the user's name": "jroe",
    "what a prompt says": "the patient has been diagnosed",
    "what an answer says": "take two pills a day",
    "a card's number": "GPU-5090aaaa-0000-4000-8000-000000000001",
    "a company's server": "models.intern.example.com",
    "a company's mirror": "hub.intern.example.com",
}
HOST = socket.gethostname()


def a_full_place(tmp_path: Path) -> Place:
    """A place where everything that may hold a secret holds one, and every log tells them all."""
    environment = {
        "HF_TOKEN": SECRETS["a token of the hub"],
        "OPENAI_API_KEY": SECRETS["a key of OpenAI's form"],
        "AWS_ACCESS_KEY_ID": SECRETS["a key id of AWS"],
        "AWS_SECRET_ACCESS_KEY": SECRETS["a secret key of AWS"],
        "HTTPS_PROXY": f"http://jroe:{SECRETS['a password of a proxy']}@proxy:3128",
        "http_proxy": "http://jroe:p%40ss%2Fword%2B1@proxy:3128",
        "LOCALLLM_API_KEY": SECRETS["an API key of ours"],
        "HF_ENDPOINT": f"https://{SECRETS['a bearer' + chr(39) + 's token']}@huggingface.co",
        "CUDA_VISIBLE_DEVICES": SECRETS["a card's number"],
        "HF_HOME": str(tmp_path / "home" / "hf"),
        "OPENAI_BASE_URL": "https://hub.intern.example.com/v1",
        "LOCALLLM_ALLOWED_HOSTS": SECRETS["a company's server"],
    }
    place = a_place(tmp_path, environment=environment, user="jroe")
    paths = place.paths
    write_daemon_file(paths.daemon_file, a_daemon_file(token=TOKEN))
    key = {"name": "laptop", "hash": SECRETS["a key's hash"]}
    paths.keys_file.write_text(json.dumps({"format": 1, "keys": [key]}))
    paths.config_file.write_text(
        f"""
        port = 11711 # {SECRETS["a key of OpenAI's form"]}
        listen = "{SECRETS["a private address"]}"
        allowed_hosts = ["{SECRETS["a company's server"]}"]
        [remote]
        url = "https://{SECRETS["a company's server"]}/v1"
        key = "{SECRETS["a secret key of AWS"]}"
        """
    )
    for folder, text in (("prefixes", "what a prompt says"), ("captures", "what an answer says")):
        (paths.state / folder).mkdir()
        (paths.state / folder / "one.json").write_text(SECRETS[text])
    paths.logs.mkdir()
    for name in ("daemon.log", "qwen3-8b.1.log"):
        (paths.logs / name).write_text(_everything_said(place))
    return place


def _everything_said(place: Place) -> str:
    """A log that says all that it should not, in all forms that logs have."""
    lines = [f"read {place.home}/models/x.gguf on {HOST} as {place.user}"]
    for name, secret in SECRETS.items():
        if name.startswith("what a"):
            lines += [
                f'{{"messages": [{{"role": "user", "content": "{secret}"}}]}}',
                f"slot 0: prompt: '{secret}'",
                f"<|im_start|>user {secret}<|im_end|>",
            ]
        elif name != "a company's server":
            lines += [f"connect: token={secret} retry", f"Authorization: Bearer {secret}"]
            lines += [f"http://u:{secret}@h/x?key={secret}&y=1", f"said {secret}."]
    return "\n".join(lines) + "\n"


def a_bundle(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    place = a_full_place(tmp_path)
    said = ErrorView(reason=_everything_said(place), log=[_everything_said(place)])
    model = msgspec.structs.replace(
        not_up(an_instance("qwen3-8b"), "failed", "it crashed", said),
        file=f"{place.home}/models/x.gguf",
    )
    status = a_status(
        model, warnings=[f"{place.home} is full", f"proxy {SECRETS['a password of a proxy']}"]
    )
    known = a_known(place, daemon=Running(a_daemon_file(token=TOKEN), status))
    finding = Finding(
        "x.y",
        Area.HUB,
        Severity.PROBLEM,
        f"{place.home}: {TOKEN}",
        f"as {place.user} on {HOST}",
        "y",
    )
    file = tmp_path / "bundle.zip"
    write_bundle(file, render_checkup([finding], 0.1), known)
    with zipfile.ZipFile(file) as archive:
        return file, {name: archive.read(name).decode() for name in archive.namelist()}


def test_no_secret_is_in_it_wherever_it_was(tmp_path: Path) -> None:
    _, members = a_bundle(tmp_path)

    found = {
        (name, kind)
        for name, text in members.items()
        for kind, secret in SECRETS.items()
        if secret in text or json.dumps(secret)[1:-1] in text
    }
    assert found == set()


def test_home_user_and_computer_are_not_named(tmp_path: Path) -> None:
    _, members = a_bundle(tmp_path)

    text = "\n".join(members.values())
    assert str(tmp_path / "home") not in text
    assert "~/models/x.gguf" in text, "what is in the home can still be told"
    if len(HOST) >= 3:
        assert f"on {HOST}" not in text


def test_what_helps_is_in_it_and_is_listed(tmp_path: Path) -> None:
    _, members = a_bundle(tmp_path)

    assert set(members) == {
        *("README.txt", "doctor.json", "status.json", "probe.json", "versions.json"),
        *("environment.json", "config.json", "logs/daemon.log", "logs/qwen3-8b.1.log"),
        "plan.json",
    }
    assert all(name in members["README.txt"] for name in members if name != "README.txt")
    assert json.loads(members["config.json"])["port"] == 11711
    assert json.loads(members["versions.json"])["aiohttp"]
    assert json.loads(members["environment.json"])["HTTPS_PROXY"] == "<set>"
    assert json.loads(members["status.json"])["models"][0]["state"] == "failed"
    assert json.loads(members["doctor.json"])["worst"] == "problem"


def test_only_its_user_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        file, _ = a_bundle(tmp_path)
    finally:
        os.umask(old)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_text("mine")

    with pytest.raises(FileExistsError):
        a_bundle(tmp_path)

    assert (tmp_path / "bundle.zip").read_text() == "mine"


def test_it_is_written_without_a_daemon_and_with_broken_settings_too(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.config_file.write_text(f"key = {SECRETS['a token of the hub']}")
    file = tmp_path / "bundle.zip"

    members = write_bundle(file, render_checkup([], 0.1), a_known(place, machine="rtx5090"))

    assert "probe.json" in {one.name for one in members}
    assert not any(SECRETS["a token of the hub"].encode() in one.content for one in members)


@pytest.fixture
def hidden() -> Anonymous:
    return anonymous(
        secrets=["s3cr3t-word", "a/b+c=="],
        home="/home/jo",
        user="jroe",
        host="box.lan",
        environment={"MY_PASSWORD": "hunter22", "PATH": "/bin"},
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x s3cr3t-word y", "x <redacted> y"),
        ("?q=a%2Fb%2Bc%3D%3D", "?q=<redacted>"),
        ("hunter22", "<redacted>"),
        ("/home/jo/x and /home/jonas", "~/x and /home/<user>"),
        ("/Users/jane/x, /mnt/c/Users/Jane Roe/y", "/Users/<user>/x, /mnt/c/Users/<user>/y"),
        (r"C:\Users\Jane Roe\x and D:\models", r"C:\Users\<user>\x and D:\models"),
        ("[2001:db8::5]:443 and fe80::1%eth0", "[<address>]:443 and <address>"),
        ("::1, [::]:80, 12:30:45 and 0000:01:00.0", "::1, [::]:80, 12:30:45 and 0000:01:00.0"),
        ("link 52:54:00:ab:cd:ef up", "link <address> up"),
        ("Cookie: session=abcdef; b=c", "Cookie: <redacted>"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic <redacted>"),
        ("password: hunter2000 ok", "password: <redacted> ok"),
        ("xoxb-1234567890-abcdefghijkl", "<redacted>"),
        ("xapp-1-A0123-456-abcdef", "<redacted>"),
        ("sk-ant-api03-abcdefghijklmnop", "<redacted>"),
        ("github_pat_11ABCDEFG0abcdefghij", "<redacted>"),
        ("gsk_abcdefghij0123456789", "<redacted>"),
        ("--api-key s3same --port 1", "--api-key <redacted> --port 1"),
        ("origin git@github.com:acme/plans.git (fetch)", "origin <remote> (fetch)"),
        ("from https://git.acme.com/acme/plans.git", "from <remote>"),
        ("print_info: EOS token = 151645, first token: 12.5 ms", None),
        ("2026-11-30 03:36:29,698 INFO localllm.daemon listening: port=11711", None),
        ("jroe's and jroes", "<user>'s and jroes"),
        ("box.lan, box, boxes", "<host>, <host>, boxes"),
        ("127.0.0.1:11711 and 10.0.0.7 and 0.0.0.0", "127.0.0.1:11711 and <address> and 0.0.0.0"),
        ("driver 570.86.16, b11146", "driver 570.86.16, b11146"),
        ("sha " + "ab" * 32, "sha <hash>"),
        ("12 tokens, 3.5 tok/s", "12 tokens, 3.5 tok/s"),
        ("me@example.com", "<mail>"),
    ],
)
def test_each_kind_is_known(hidden: Anonymous, text: str, shown: str | None) -> None:
    assert hidden.text(text) == (text if shown is None else shown)


def test_a_private_key_goes_whatever_lines_it_takes(hidden: Anonymous) -> None:
    log = (
        "2026-11-30 03:36:29 INFO read it\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n"
        "QyNTUxOQAAACB\n-----END OPENSSH PRIVATE KEY-----\nsrv  init: ok"
    )

    for shown in (hidden.lines(log), hidden.document({"why": log})["why"]):
        assert [line for line in shown.splitlines() if line] == [
            "2026-11-30 03:36:29 INFO read it",
            "<redacted>",
            "srv  init: ok",
        ]


@pytest.mark.parametrize("shape", ["text", "list"])
def test_a_prompt_goes_with_all_its_lines(hidden: Anonymous, shape: str) -> None:
    lines = [
        "0.00.001.056 I srv  init: ready",
        "slot 0: prompt: '<|im_start|>user",
        "The patient is called Ann.",
        "",
        "What does she have?<|im_end|>'",
        "0.00.002.000 I srv  update_slots: idle",
    ]

    shown = (
        hidden.lines("\n".join(lines)).splitlines()
        if shape == "text"
        else hidden.document({"log": lines})["log"]
    )

    assert shown == [lines[0], "<a line that may hold a prompt>", lines[-1]]


def test_the_end_of_a_log_may_begin_within_a_prompt(hidden: Anonymous) -> None:
    end = "The patient is called Ann.\n0.00.002.000 I srv  update_slots: idle"

    assert hidden.lines(end, whole=False) == "0.00.002.000 I srv  update_slots: idle\n"


def test_a_prompt_that_is_longer_than_what_is_taken_of_a_log_stays_here(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.logs.mkdir()
    said = "slot 0: prompt: 'first\n" + "The patient is called Ann.\n" * 1_000
    (place.paths.logs / "daemon.log").write_text(said)

    members = write_bundle(tmp_path / "b.zip", render_checkup([], 0.1), a_known(place))

    assert not any(b"Ann" in one.content for one in members)


def test_a_secret_that_follows_its_flag_goes(hidden: Anonymous) -> None:
    told = hidden.document({"engine_args": ["--api-key", "s3same", "--threads", "8", "-v"]})

    assert told == {"engine_args": ["--api-key", "<redacted>", "--threads", "8", "-v"]}


@pytest.mark.parametrize(
    ("line", "goes"),
    [
        ('{"prompt": "hello"}', True),
        ("slot: prompt = 'hello'", True),
        ("<|im_start|>user", True),
        ("prompt eval time = 12.3 ms / 10 tokens", False),
        ("n_prompt_tokens = 12", False),
        (r"body: {\"messages\": [{\"role\": 1}]}", True),
        ('{"query": "who is Ann"}', True),
        ("<|start_header_id|>user<|end_header_id|>", True),
        ("<|turn>user", True),
        ("listening: port=11711", False),
    ],
)
def test_lines_that_may_hold_a_prompt_go(hidden: Anonymous, line: str, *, goes: bool) -> None:
    assert (hidden.lines(line) == "<a line that may hold a prompt>\n") == goes


def test_counts_of_tokens_stay_in_documents(hidden: Anonymous) -> None:
    document = {"tokens": 3, "token": "abc", "auth": "auto", "api_key": "x", "max_tokens": "12"}

    assert hidden.document(document) == {
        "tokens": 3,
        "token": "<redacted>",
        "auth": "auto",
        "api_key": "<redacted>",
        "max_tokens": "12",
    }


def test_variables_that_say_where_computers_are_are_only_named() -> None:
    of_addresses = ("LOCALLLM_REMOTE_URL", "LOCALLLM_ALLOWED_HOSTS", "LOCALLLM_ENGINE_MIRROR")

    told = _variables({**dict.fromkeys(of_addresses, "corp.lan"), "LOCALLLM_PORT": "80"})

    assert told == {**dict.fromkeys(of_addresses, "<set>"), "LOCALLLM_PORT": "80"}
