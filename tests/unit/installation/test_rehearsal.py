"""What installers say that they would change is read out of their own words."""

from __future__ import annotations

import json

import pytest

from localllm.installation.rehearsal import Change, parse_pip, parse_uv, version_key

UV = """\
Using Python 3.11.7 environment at: tools/localllm
Resolved 42 packages in 199ms
Would download 2 packages
Would uninstall 2 packages
Would install 2 packages
 - anyio==4.9.0
 + anyio==4.11.0
 + brand-new==1.0
 - localllm==0.1.0 (from file:///w/localllm-0.1.0-py3-none-any.whl)
 + localllm==0.2.0
 - no-more==3.0
"""
PIP = {
    "version": "1",
    "install": [
        {"metadata": {"name": "localllm", "version": "0.2.0"}},
        {"metadata": {"name": "Any_IO", "version": "4.11.0"}},
    ],
}


def test_uv_says_it_in_lines() -> None:
    assert parse_uv(UV) == (
        Change("anyio", "4.9.0", "4.11.0"),
        Change("brand-new", None, "1.0"),
        Change("localllm", "0.1.0", "0.2.0"),
        Change("no-more", "3.0", None),
    )


def test_uv_that_would_change_nothing_says_so() -> None:
    assert parse_uv("Resolved 42 packages in 2ms\nWould make no changes\n") == ()


def test_pip_says_it_in_a_report() -> None:
    changes = parse_pip(json.dumps(PIP), {"any-io": "4.9.0", "localllm": "0.1.0"})

    assert changes == (
        Change("any-io", "4.9.0", "4.11.0"),
        Change("localllm", "0.1.0", "0.2.0"),
    )


@pytest.mark.parametrize("report", ["", "[]", '{"install": 1}', '{"install": [{}]}'])
def test_what_is_no_report_is_not_taken_for_no_change(report: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        parse_pip(report, {})


def test_versions_are_ordered_by_their_numbers() -> None:
    ordered = ["0.9", "0.10.0rc1", "0.10.0", "0.10.1.dev1", "0.10.1", "1.0", "1.0.0.post1"]
    keys = [version_key(one) for one in ordered]

    assert keys == sorted(keys)
    assert version_key("1.0") == version_key("1.0.0")
    assert version_key("0.10.0rc1") < version_key("0.10")
