"""`localllm bench`: how fast what is served is, as a client sees it; kept, and compared with before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from localllm.cli.completing import bench_runs, models_here
from localllm.cli.conventions import json_option
from localllm.cli.rates import Rates, require_one_kind

MOST_TOKENS = 1 << 24
_LONGEST = 20


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers with commas between them."""

    name = "N,N,..."

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[int]:
        """Read them; each once, in the order given."""
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isascii() and word.isdigit() and len(word) < _LONGEST for word in words):
            self.fail(f"{value!r} is not numbers with commas between, as in 0,4096", param, ctx)
        numbers = [int(word) for word in words]
        for number in numbers:
            if not self._least <= number <= self._most:
                self.fail(f"{number} is not from {self._least} to {self._most}", param, ctx)
        return list(dict.fromkeys(numbers))


@click.command("bench")
@click.argument("model", required=False, shell_complete=models_here)
@click.option(
    "--depths",
    type=Numbers(0, MOST_TOKENS),
    help="Tokens that are in the context already.  [default: 0,4096,16384,... as fit]",
)
@click.option(
    "--concurrency",
    type=Numbers(1, 256),
    help="Requests at once.  [default: 1,2,4,... up to the slots]",
)
@click.option(
    "--prompt",
    type=click.IntRange(1, MOST_TOKENS),
    help="New tokens in each request.  [default: 512, less in a small context]",
)
@click.option(
    "--generate",
    type=click.IntRange(2, MOST_TOKENS),
    help="Tokens of each answer.  [default: 128, less in a small context]",
)
@click.option("--repeat", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option(
    "--warm/--cold",
    default=True,
    help="Have what fills the context in the cache, as in a conversation, or read it anew each time.",
)
@click.option("--replay", metavar="FILE", help="Send recorded traffic again, in place of all this.")
@click.option(
    "--rate", type=Rates(), default="1", help="How many times as fast, as in 1,2,5: a pass each."
)
@click.option("--closed", is_flag=True, help="Replay: turns wait for the ones before.")
@click.option("--beside-others", is_flag=True, help="Measure though others use the model.")
@click.option("--save/--no-save", default=True, help="Keep the figures, to compare with.")
@click.option(
    "--compare",
    metavar="RUN",
    default="last",
    shell_complete=bench_runs,
    help="A saved run; last, or none.",
)
@click.option("--list", "is_list", is_flag=True, help="Show the saved runs, and measure nothing.")
@json_option
def command(
    model: str | None,
    *,
    is_list: bool,
    as_json: bool,
    **asked: Any,  # noqa: ANN401  # click has checked each
) -> None:
    """Measure MODEL as it is served: reading, writing, waiting, alone and with others.

    Without MODEL: the one that requests mean which name none. Each prompt is new and exactly as
    long as asked; what is measured is what an agent gets, through the endpoint.
    """
    require_one_kind(click.get_current_context())
    if asked["replay"] is not None:
        from localllm.cli.bench_replay import replay_as_asked  # noqa: PLC0415  # heavy

        replay_as_asked(model, asked, as_json=as_json)
        return
    from localllm.bench.points import Wish  # noqa: PLC0415  # heavy, all of them
    from localllm.cli.bench_run import Asked, run_bench, show_runs  # noqa: PLC0415

    if is_list:
        show_runs(as_json=as_json)
        return
    wish = Wish(
        depths=asked["depths"],
        at_once=asked["concurrency"],
        prompt_tokens=asked["prompt"],
        answer_tokens=asked["generate"],
        repeat=asked["repeat"],
        is_cold=not asked["warm"],
    )
    run_bench(model, wish, Asked(asked["beside_others"], asked["save"], asked["compare"], as_json))
