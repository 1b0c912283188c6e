"""The switcher in a test: opened, filtered, and what the daemon was asked for by it."""

from __future__ import annotations

from localllm.tui.widgets.choice_table import ChoiceTable
from tests.fakes.a_screen import until, until_shown
from tests.fakes.scene_plans import plan_on

CODER = "qwen3-coder-30b-a3b"


async def opened(pilot, key="s"):
    """Open it, and wait for the plan."""
    await until(pilot, lambda: pilot.app.world.now is not None, "a look")
    await pilot.press(key)
    await until_shown(pilot, "qwen3-32b", CODER, "on disk")
    return pilot.app.screen


async def at(pilot, name, *, filtered="") -> None:
    """Filter, and go to the list."""
    await pilot.press(*(filtered or name))
    await until(pilot, lambda: len(table(pilot).rows) == 1, f"{name} alone")
    await pilot.press("down")
    await until(pilot, lambda: isinstance(pilot.app.focused, ChoiceTable), "the list")


def table(pilot) -> ChoiceTable:
    return pilot.app.screen.query_one(ChoiceTable)


def asked(daemon):
    return [(one.verb, one.name) for one in daemon.scene.asked]


def last(daemon):
    """The body of the last call."""
    return daemon.scene.asked[-1].body


def body(daemon):
    given = last(daemon)
    return given["model"], given["quant"], given["context"]


def counted(daemon):
    """Count the plans that are asked for one model."""
    seen = []

    def plan(probe, wanted):
        seen.append((wanted.model, wanted.context))
        return plan_on(probe, wanted)

    daemon.scene.plan = plan
    return seen
