"""How a replay is asked for: rates as they are typed, 1,2,5, and what goes with them."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.core import ParameterSource

LEAST_RATE, MOST_RATE = 0.01, 1000.0
_REPLAYS = frozenset({"rate", "closed"})
_POINTS = frozenset(
    {"depths", "concurrency", "prompt", "generate", "repeat", "warm", "compare", "is_list"}
)


class Rates(click.ParamType):  # type: ignore[type-arg]
    """Rates with commas between them."""

    name = "R,R,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[float]:
        """Read them; each once, in the order given."""
        if not isinstance(value, str):
            return value  # type: ignore[return-value]  # read before
        try:
            rates = [float(word) for word in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not rates with commas between, as in 1,2,5", param, ctx)
        for rate in rates:
            if not LEAST_RATE <= rate <= MOST_RATE:
                self.fail(f"{rate:g} is not from {LEAST_RATE:g} to {MOST_RATE:g}", param, ctx)
        return tuple(dict.fromkeys(rates))


def require_one_kind(context: click.Context) -> None:
    """Refuse options of a bench in a replay, and those of a replay without one.

    Raises:
        UsageError: There is one, which would do nothing.
    """
    is_replay = context.params["replay"] is not None
    idle = _POINTS if is_replay else _REPLAYS
    for option in context.command.params:
        if option.name in idle and _is_said(context, option.name):
            why = "does not go with --replay" if is_replay else "needs --replay FILE"
            raise click.UsageError(f"{option.opts[0]} {why}.", context)


def _is_said(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
