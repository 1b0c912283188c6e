"""The judges of calls and documents."""

from __future__ import annotations

import json

import pytest

from localllm.quality.calls import (
    Judged,
    calls_nothing,
    calls_weather_in,
    cases_for,
    keeps_schema,
    misfit,
    same_calls,
)
from localllm.quality.speaking import Call, Reply


def calling(*calls: tuple[str, object]) -> Reply:
    told = [Call(name, args if isinstance(args, str) else json.dumps(args)) for name, args in calls]
    return Reply(calls=tuple(told), finish="tool_calls")


OSLO, LIMA = ("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Lima, Peru"})


def marks(judged: Judged) -> tuple[bool, bool]:
    return judged.valid, judged.right


@pytest.mark.parametrize(
    ("reply", "valid", "right"),
    [
        (calling(OSLO), True, True),
        (calling(("get_weather", {"city": "Oslo", "unit": "celsius"})), True, True),
        (calling(("get_weather", {"city": "Oslo", "unit": "kelvin"})), False, False),
        (calling(LIMA), True, False),
        (calling(OSLO, LIMA), True, False),
        (calling(("get_weather", {})), False, False),
        (calling(("get_weather", {"city": "Oslo", "when": "now"})), False, False),
        (calling(("get_weather", '{"city": "Os')), False, False),
        (calling(("weather", {"city": "Oslo"})), False, False),
        (calling(("send_mail", {"to": "a", "text": "b"})), True, False),
        (Reply(text="It is raining."), False, False),
        (Reply(refusal="no tools"), False, False),
    ],
)
def test_a_call_is_judged_by_its_form_and_its_sense(reply: Reply, valid: bool, right: bool) -> None:
    assert marks(calls_weather_in("Oslo")(reply)) == (valid, right)


def test_two_cities_are_two_calls() -> None:
    assert marks(calls_weather_in("Oslo", "Lima")(calling(OSLO, LIMA))) == (True, True)
    assert marks(calls_weather_in("Oslo", "Lima")(calling(OSLO))) == (True, False)


def test_where_no_tool_fits_an_answer_is_right_and_a_call_is_not() -> None:
    assert marks(calls_nothing(Reply(text="Paris"))) == (True, True)
    assert marks(calls_nothing(calling(OSLO))) == (True, False)
    assert marks(calls_nothing(Reply())) == (True, False)


@pytest.mark.parametrize(
    ("text", "valid", "right"),
    [
        ('{"name": "Mira", "age": 34}', True, True),
        ('{"name": "Mira", "age": 43}', True, False),
        ('{"name": "Mira", "age": "34"}', False, False),
        ('{"name": "Mira"}', False, False),
        ("Mira, 34", False, False),
        ("[]", False, False),
    ],
)
def test_a_document_is_judged_by_its_schema(text: str, valid: bool, right: bool) -> None:
    assert marks(keeps_schema(Reply(text=text))) == (valid, right)


def test_true_is_no_integer() -> None:
    assert misfit(True, {"type": "integer"}) is not None


def test_calls_are_the_same_whatever_the_spaces_in_their_arguments() -> None:
    one, other = calling(("f", '{"a":1}')), calling(("f", '{ "a": 1 }'))

    assert same_calls(one, other)
    assert not same_calls(one, calling(("f", '{"a":2}')))


def test_a_model_whose_template_knows_no_tools_is_asked_for_none() -> None:
    assert [case.name for case in cases_for(quick=False, knows_tools=False)] == ["a schema"]
    assert len(cases_for(quick=False, knows_tools=None)) == 5
