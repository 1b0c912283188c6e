"""All mistakes at once, each where it stands, with what was most likely meant."""

from __future__ import annotations

import pytest

from localllm.config.reading import check_text

WRONG = """\
prot = 80
port = "80"
max_crashes = 3
[supervision]
max_crash = 1
keep_alive = "soon"
[profiles.b]
use = "codng"
engine_args = "--seed 7"
[[profiles.b.lora]]
scale = 1.0
[profiles.c]
draft_tokens = 3
[remote]
url = "https://me:secret@far.example"
"""


def test_every_mistake_is_found_in_one_go() -> None:
    found = [(str(one.place), one.what, one.step) for one in check_text(WRONG).mistakes]

    assert found == [
        ("1:1", "there is no setting prot", "write port instead of prot"),
        ("2:8", 'port is "80", and takes a whole number from 1 to 65535', None),
        ("3:1", "there is no setting max_crashes", "put max_crashes under [supervision]"),
        (
            "5:1",
            "there is no setting supervision.max_crash",
            "write max_crashes instead of max_crash",
        ),
        (
            "6:14",
            'supervision.keep_alive is "soon", and takes a time, as in 90, 90s, 15m, 2h or 1d, or '
            "forever",
            None,
        ),
        (
            "8:7",
            'profiles.b.use is "codng", and takes "chat", "code", "embed" or "vision"',
            'write "code" instead of "codng"',
        ),
        (
            "9:15",
            'profiles.b.engine_args is "--seed 7", and takes a list, each of it text',
            None,
        ),
        ("10:1", "profiles.b.lora[0] has no file, which it needs", "write file"),
        (
            "13:16",
            "draft_tokens is of no use without a draft: name one, too",
            None,
        ),
        (
            "15:7",
            "remote.url is something else, and takes an address with http:// or https://",
            None,
        ),
    ]


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("[plan]\nport = 1", "put port above all tables"),
        ("[prefix]\nkeep_alive = '1h'", "put keep_alive under [supervision]"),
        ("[remote]\nurl = 'http://a'\nkey_ring = 'x'", "write keyring instead of key_ring"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_its_own(text: str, step: str) -> None:
    (mistake,) = check_text(text).mistakes

    assert mistake.step == step


def test_what_is_right_has_no_mistake() -> None:
    assert not check_text("port = 80\n[plan.min_tps]\ncode = 15\n").mistakes
