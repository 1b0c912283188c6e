"""JSON is edited in the text: what is not ours keeps every character."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.agents import json_text
from localllm.agents.edits import ABSENT, Element, find, same, with_value
from localllm.agents.errors import Malformed

ENTRY = {"name": "localllm", "n": 1}
AS_LIST = ("models", Element("name", "localllm"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("// mine", '// mine\n{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("{}", '{\n  "a": {\n    "b": 1\n  }\n}'),
        ('{"a": {"b": 2}}', '{"a": {"b": 1}}'),
        ('{"z":0}', '{"z":0, "a": {"b": 1}}'),
        ('{"a": null}', '{"a": {"b": 1}}'),
        ('{\n\t"z": 0\n}\n', '{\n\t"z": 0,\n\t"a": {\n\t\t"b": 1\n\t}\n}\n'),
        ('{\r\n  "z": 0\r\n}', '{\r\n  "z": 0,\r\n  "a": {\r\n    "b": 1\r\n  }\r\n}'),
        ('{\n  "z": 0, // mine\n}', '{\n  "z": 0, // mine\n  "a": {\n    "b": 1\n  },\n}'),
        ('{\n  "z": 0 // mine\n}', '{\n  "z": 0, // mine\n  "a": {\n    "b": 1\n  }\n}'),
        ("{\n  // mine\n}", '{\n  // mine\n  "a": {\n    "b": 1\n  }\n}'),
        ("{a: {c: 'x',},}", "{a: {c: 'x', \"b\": 1,},}"),
        ('\ufeff{"a": {"b": 0}}', '\ufeff{"a": {"b": 1}}'),
        ('{"a": {"b": 0}, "a": {"b": 2}}', '{"a": {"b": 0}, "a": {"b": 1}}'),
    ],
)
def test_a_value_goes_in_and_all_else_keeps_its_characters(before: str, after: str) -> None:
    assert json_text.put(before, ("a", "b"), 1) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[]", '[\n  {\n    "name": "localllm",\n    "n": 1\n  }\n]'),
        ('[{"name": "you"}]', '[{"name": "you"}, {"name": "localllm", "n": 1}]'),
        ('[{"name": "localllm"}, 7]', '[{"name": "localllm", "n": 1}, 7]'),
    ],
)
def test_an_element_is_found_by_its_field_and_else_comes_last(before: str, after: str) -> None:
    assert json_text.put(before, (Element("name", "localllm"),), ENTRY) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"a": 1}', "{}"),
        ('{"z": 0, "a": 1}', '{"z": 0}'),
        ('{"z": 0, "a": 1, "y": 2}', '{"z": 0, "y": 2}'),
        ('{\n  "z": 0, // mine\n  "a": 1\n}\n', '{\n  "z": 0 // mine\n}\n'),
        ('{\n  "z": 0,\n  "a": 1,\n}\n', '{\n  "z": 0,\n}\n'),
        ('{\r\n  "z": 0,\r\n  "a": 1\r\n}', '{\r\n  "z": 0\r\n}'),
        ('{\n  // mine\n  "a": 1\n}', "{\n  // mine\n}"),
    ],
)
def test_a_value_goes_and_takes_its_comma_along(before: str, after: str) -> None:
    assert json_text.take(before, ("a",)) == after


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', 3, 3),
        ('{"a" 1}', 1, 6),
        ('{"a": tru}', 1, 7),
        ('{"a": "no end}', 1, 7),
        ('{"a": 1', 1, 8),
        ("{} {}", 1, 4),
        ("\n/* no end", 2, 1),
        ('{"a": , }', 1, 7),
        ("[" * 100, 1, 66),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, line: int, column: int) -> None:
    with pytest.raises(Malformed) as refused:
        json_text.parse(text)

    assert (refused.value.line, refused.value.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("// nothing", ABSENT),
        ("'it\\'s \\x41\\u0042 \\\n on'", "it's AB  on"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ("[0x1F, +1, .5, 5., -1e3]", [31, 1, 0.5, 5.0, -1000.0]),
        ("{$id: null, /* c */ 'k' : true}", {"$id": None, "k": True}),
    ],
)
def test_relaxed_json_is_read(text: str, said: Any) -> None:
    assert json_text.parse(text) == said


KEYS = st.sampled_from(["a", "b", "né", 'q"', "models"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
TREES = st.recursive(
    LEAVES, lambda t: st.lists(t, max_size=3) | st.dictionaries(KEYS, t, max_size=4), max_leaves=12
)
TABLES = st.dictionaries(KEYS, TREES, max_size=4)
LOOKS = st.sampled_from([{}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}])


@settings(max_examples=60, deadline=None)
@given(tree=TABLES, look=LOOKS, value=TREES)
def test_any_json_reads_as_python_reads_it_and_takes_any_value_in_and_out(
    tree: dict[str, Any], look: dict[str, Any], value: Any
) -> None:
    text = json.dumps(tree, **look)

    assert json_text.parse(text) == tree
    put = json_text.put(text, ("ours", "x"), value)
    assert same(json.loads(put), with_value(tree, ("ours", "x"), value))
    assert json_text.parse(json_text.take(put, ("ours",))) == tree
    for key in tree:
        replaced = json.loads(json_text.put(text, (key,), value))
        assert same(find(replaced, (key,)), value)
        assert list(replaced) == list(tree)
