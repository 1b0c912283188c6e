"""Our values in somebody else's file, in every language: in, again, and out."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.agents.edits import ABSENT, Edit, Element, find
from localllm.agents.errors import Malformed
from localllm.agents.languages import Editor, Language, editor_for
from localllm.agents.merging import Change, Merged, merge, take_back

TABLE = {"base": "http://127.0.0.1:11711/v1", "context": 65536, "tools": True}
EDITS = (Edit(("model",), "ours"), Edit(("providers", "localllm"), TABLE))
OTHERS = (Edit(("model",), "new"), Edit(("providers", "localllm"), {"base": "b", "images": False}))

FILES = {
    "json": (Language.JSON, '{\n  // mine\n  "model": "old",\n  "theme": "dark"\n}\n'),
    "bare json": (Language.JSON, '{"providers":{"x":{"base":"y"}}}'),
    "empty json": (Language.JSON, "{}\n"),
    "toml": (Language.TOML, '# mine\nmodel = "old"  # chosen\n\n[tui]\ntheme = "dark"\n'),
    "dotted toml": (Language.TOML, 'a.b = 1\n[providers.x]\nbase = "y"\n\n[[list]]\nk = 1\n'),
    "empty toml": (Language.TOML, "# only this\n"),
    "yaml": (Language.YAML, "# mine\nmodel: 'old'  # chosen\nlist:\n  - a\n  - b: 1\n"),
    "flat yaml": (Language.YAML, "list:\n- a\n-   b\nproviders:\n  x: {base: y}\n"),
    "empty yaml": (Language.YAML, "# only this\n"),
    "null yaml": (Language.YAML, "theme: dark\nproviders:\n"),
}


def opened(name: str) -> tuple[Editor, str]:
    language, text = FILES[name]
    return editor_for(language), text


def said(editor: Editor, text: str) -> Any:
    tree = editor.parse(text)
    return {} if tree is ABSENT else tree


@pytest.mark.parametrize("name", FILES)
def test_our_values_go_in_and_everything_else_stays(name: str) -> None:
    editor, text = opened(name)
    before = said(editor, text)

    merged = merge(editor, text, EDITS)

    after = said(editor, merged.text)
    assert (after["model"], after["providers"]["localllm"]) == ("ours", TABLE)
    ours = {"model", "providers"}
    assert {k: v for k, v in after.items() if k not in ours} == {
        k: v for k, v in before.items() if k not in ours
    }
    assert ("mine" in text, "chosen" in text) == ("mine" in merged.text, "chosen" in merged.text)


@pytest.mark.parametrize("name", FILES)
def test_the_second_time_changes_nothing(name: str) -> None:
    editor, text = opened(name)
    first = merge(editor, text, EDITS)

    assert merge(editor, first.text, EDITS, first.changes) == first


@pytest.mark.parametrize("name", FILES)
def test_taken_back_the_file_says_what_it_said(name: str) -> None:
    editor, text = opened(name)
    merged = merge(editor, text, EDITS)

    taken = take_back(editor, merged.text, merged.changes)

    before = {k: v for k, v in said(editor, text).items() if v is not None}
    assert {k: v for k, v in said(editor, taken.text).items() if v != {}} == before
    assert taken.left == ()


@pytest.mark.parametrize("name", FILES)
def test_another_model_replaces_the_first_and_what_was_before_both_comes_back(name: str) -> None:
    editor, text = opened(name)
    first = merge(editor, text, EDITS)

    second = merge(editor, first.text, OTHERS, first.changes)

    after = said(editor, second.text)
    assert (after["model"], after["providers"]["localllm"]) == ("new", OTHERS[1].value)
    taken = said(editor, take_back(editor, second.text, second.changes).text)
    assert find(taken, ("model",)) == find(said(editor, text), ("model",))
    assert find(taken, ("providers", "localllm")) is ABSENT


JSON = editor_for(Language.JSON)


def merged(text: str, *edits: Edit) -> Merged:
    return merge(JSON, text, edits)


def test_what_somebody_changed_since_is_left_and_named() -> None:
    done = merged('{"model": "old"}', *EDITS)
    changed = done.text.replace('"ours"', '"theirs"')

    taken = take_back(JSON, changed, done.changes)

    assert (JSON.parse(taken.text), taken.left) == ({"model": "theirs"}, (("model",),))


def test_a_table_of_ours_goes_whole_and_those_made_around_it_only_if_empty() -> None:
    done = merged("{}", *EDITS)
    with_more = JSON.put(done.text, ("providers", "localllm", "mine"), 1)
    beside = JSON.put(with_more, ("providers", "x"), {})

    assert JSON.parse(take_back(JSON, with_more, done.changes).text) == {}
    assert JSON.parse(take_back(JSON, beside, done.changes).text) == {"providers": {"x": {}}}


def test_a_table_that_is_there_keeps_what_else_is_in_it() -> None:
    done = merged('{"env": {"A": "1", "B": "2"}}', Edit(("env",), {"B": "3", "C": "4"}))

    assert JSON.parse(done.text) == {"env": {"A": "1", "B": "3", "C": "4"}}
    assert JSON.parse(take_back(JSON, done.text, done.changes).text) == {
        "env": {"A": "1", "B": "2"}
    }


def test_a_default_goes_only_where_nothing_is() -> None:
    edit = Edit(("version",), 1, default=True)

    assert JSON.parse(merged('{"version": 7}', edit).text) == {"version": 7}
    assert JSON.parse(merged("{}", edit).text) == {"version": 1}


def test_an_element_goes_into_a_list_beside_the_others() -> None:
    edit = Edit(("models", Element("id", "a")), {"id": "a", "n": 1})

    done = merged('{"models": [{"id": "b"}]}', edit)

    assert JSON.parse(done.text) == {"models": [{"id": "b"}, {"id": "a", "n": 1}]}
    assert take_back(JSON, done.text, done.changes).text == '{"models": [{"id": "b"}]}'


def test_what_is_no_longer_wanted_is_taken_back_at_the_next_write() -> None:
    first = merged('{"m": []}', Edit(("m", Element("id", "a")), {"id": "a"}), Edit(("k",), 1))

    second = merge(JSON, first.text, [Edit(("m", Element("id", "b")), {"id": "b"})], first.changes)

    assert JSON.parse(second.text) == {"m": [{"id": "b"}]}
    assert [change.path for change in second.changes] == [("m", Element("id", "b"))]


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ('{"env": "x"}', ("env", "A"), "env is no table"),
        ("[]", ("env", "A"), "the file is no table"),
        ('{"m": {}}', ("m", Element("id", "a")), "m is no list"),
    ],
)
def test_a_word_where_a_table_has_to_be_is_refused(text: str, path: Any, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        merged(text, Edit(path, "1"))


def test_an_editor_that_loses_something_is_found_out() -> None:
    class Forgetful:
        parse = staticmethod(JSON.parse)
        take = staticmethod(JSON.take)

        @staticmethod
        def put(text: str, path: Any, value: Any) -> str:
            return JSON.put("{}", path, value)

    with pytest.raises(Malformed, match="without a loss"):
        merge(Forgetful(), '{"mine": 1}', EDITS)


SHELL = editor_for(Language.SHELL)
BLOCK = Edit(("localllm",), "provider add localllm")


@pytest.mark.parametrize("text", ["", "option debug true\n", "no end of line"])
def test_a_shell_script_gets_a_block_at_its_end_and_loses_it_again(text: str) -> None:
    done = merge(SHELL, text, [BLOCK])

    assert done.text.startswith(text)
    assert done.text.count("provider add localllm") == 1
    again = merge(SHELL, done.text, [Edit(("localllm",), "provider add x")], done.changes)
    assert again.text.count("provider add") == 1
    assert take_back(SHELL, again.text, again.changes).text.rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize(
    ("language", "text", "line"),
    [
        (Language.TOML, 'a = 1\nb = "no end\n', 2),
        (Language.YAML, "a: 1\nb: [1\nc: 2\n", 3),
        (Language.YAML, "a: 1\na: 2\n", 2),
        (Language.YAML, "a: !!python/object:os.system x\n", None),
        (Language.YAML, "a: 1\n---\nb: 2\n", None),
    ],
)
def test_what_is_not_of_its_language_is_refused(
    language: Language, text: str, line: int | None
) -> None:
    with pytest.raises(Malformed) as refused:
        editor_for(language).parse(text)

    assert line is None or refused.value.line == line


def test_a_change_says_whether_a_table_is_ours() -> None:
    assert Change(("a",), {}, ABSENT, 0).is_our_table
    assert not Change(("a",), {}, {}, 1).is_our_table
    assert not Change(("a",), "x", ABSENT, 0).is_our_table
