"""Where keys and values stand in config.toml."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from localllm.config.default_file import render_default
from localllm.config.locating import Path, locate

TEXT = '''\
# first = 1
port = 80
"quoted.key" = 'x'  # = [
text = """
[not.a] table = 1
"""
literal = \'\'\'a 'b' \'c\'\'\'
a.b . c = 1

  [ table ]
day = 1979-05-27 07:32:00
list = [ 1, # ]
  "]", { in = 2, "ner" = [3] },
]
[[rows]]
n = 1
[rows.sub]
k = "a\\"]b"
[[rows]]
n = 2
'''


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("port",), "2:1", "2:8"),
        (("quoted.key",), "3:1", "3:16"),
        (("text",), "4:1", "4:8"),
        (("literal",), "7:1", "7:11"),
        (("a", "b", "c"), "8:1", "8:11"),
        (("table",), "10:3", "10:3"),
        (("table", "day"), "11:1", "11:7"),
        (("table", "list", 1), "13:3", "13:3"),
        (("table", "list", 2, "ner", 0), "13:27", "13:27"),
        (("rows", 0, "n"), "16:1", "16:5"),
        (("rows", 0, "sub", "k"), "18:1", "18:5"),
        (("rows", 1, "n"), "20:1", "20:5"),
    ],
)
def test_each_key_and_value_has_a_line_and_a_column(path: Path, key: str, value: str) -> None:
    places = locate(TEXT)

    assert (str(places.of_key(path)), str(places.of_value(path))) == (key, value)


def test_what_is_not_there_is_at_the_table_that_it_would_be_in() -> None:
    assert str(locate(TEXT).of_key(("rows", 1, "missing"))) == "19:1"
    assert locate(TEXT).of_key(("missing",)) is None


def paths_in(value: Any, path: Path = ()) -> set[Path]:
    if isinstance(value, dict):
        return set().union({path}, *(paths_in(one, (*path, k)) for k, one in value.items()))
    if isinstance(value, list):
        return set().union({path}, *(paths_in(one, (*path, n)) for n, one in enumerate(value)))
    return {path}


@pytest.mark.parametrize("text", [TEXT, "", "\n", render_default(), render_default() + TEXT])
def test_no_key_is_missed_and_none_is_made_up(text: str) -> None:
    text = text.replace("[names]", "[names2]").replace("\nport", "\nport2", 1)
    assert set(locate(text).keys) == paths_in(tomllib.loads(text)) - {()}


values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=6) | st.floats(-2, 2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5), values, max_size=4))
def test_whatever_a_file_says_each_of_its_keys_is_found(written: dict[str, Any]) -> None:
    text = tomlkit.dumps(written)

    assert set(locate(text).keys) == paths_in(tomllib.loads(text)) - {()}
