"""The written default says nothing, shows everything, and each line of it is right as it stands."""

from __future__ import annotations

import re
import tomllib

import jsonschema
import pytest

from localllm.config.default_file import render_default
from localllm.config.json_schema import render_schema
from localllm.config.reading import check_text
from localllm.config.reference import docs_of, rows
from localllm.config.settings import Settings
from localllm.config.tree import all_settings

DEFAULT = render_default()
SETTING = re.compile(r"^#(?=[a-z_\"\[])")


def test_it_counts_as_no_file_at_all() -> None:
    assert check_text(DEFAULT).mistakes == []
    flat = {k: v for k, v in tomllib.loads(DEFAULT).items() if v and not isinstance(v, dict)}
    assert flat == {}


def test_every_setting_stands_in_it_with_what_it_does() -> None:
    shown = set(re.findall(r"^#([a-z_]+) = ", DEFAULT, re.MULTILINE))

    assert {one.name for one in all_settings() if not one.is_table} - {"key"} == shown
    assert not [one.key for one in all_settings() if not docs_of(one.owner).get(one.name)]


def tables() -> list[tuple[str, list[str]]]:
    """Each table's name with the lines of its settings, all without their #."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in DEFAULT.splitlines():
        if re.match(r"#?\[", line):
            found.append((line.lstrip("#"), []))
        elif SETTING.match(line):
            found[-1][1].append(line[1:])
    return found


SETTINGS = [(head, line, lines) for head, lines in tables() for line in lines]


@pytest.mark.parametrize(("head", "line", "lines"), SETTINGS)
def test_a_setting_whose_sign_is_taken_away_is_right(
    head: str, line: str, lines: list[str]
) -> None:
    """By itself, with the first of its table, which that may need, or with all of it."""
    above = '[remote]\nurl = "http://a"\n' if head == "[remote.models]" else ""
    tried = [[line], [lines[0], line], lines]
    texts = ["\n".join([above, head, *one]) for one in tried]

    right = next((text for text in texts if not mistakes_in(text)), None)

    assert right is not None, mistakes_in(texts[0])
    jsonschema.validate(tomllib.loads(right), render_schema())


def mistakes_in(text: str) -> object:
    return check_text(text).mistakes


@pytest.mark.parametrize("text", ["prot = 1", "port = 0", "[supervision]\nkeep_alive = 'soon'"])
def test_the_schema_refuses_what_we_refuse(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), render_schema())


def test_the_reference_has_a_row_for_each_with_what_a_change_takes() -> None:
    by_key = {row.whole_key: row for row in rows()}

    assert by_key["port"].applies == "counts once the daemon is started again"
    assert by_key["profiles.NAME.context"].applies.startswith("starts its model anew")
    assert by_key["origins"].applies == "counts at once"
    assert by_key["supervision.keep_alive"].variable == "LOCALLLM_SUPERVISION_KEEP_ALIVE"
    assert by_key["profiles.NAME.context"].variable == ""
    assert by_key["port"].default == str(Settings().port)
    assert all(row.does and row.takes for row in rows())
    variables = [row.variable for row in rows() if row.variable]
    assert len(variables) == len(set(variables))
