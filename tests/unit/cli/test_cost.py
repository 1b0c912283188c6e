"""`localllm cost` without a daemon: from the ledger's file and the user's own prices."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from localllm.cli.cost import command
from localllm.errors import ConfigError, LocalLLMError
from localllm.metrics.energy_row import DeviceUse, ModelUse
from localllm.metrics.ledger_row import row_of
from localllm.metrics.ledger_schema import MIGRATIONS, NewerLedger, open_ledger
from localllm.metrics.ledger_store import Keep, Store
from localllm.metrics.savings import day_of
from tests.unit.metrics.a_live import World

PRICES = """
[cost]
currency = "EUR"
electricity_per_kwh = 0.36
[cost.apis.big]
input = 2.0
cached_input = 0.5
output = 10.0
[cost.apis.a-cheap-one-with-a-long-name]
input = 0.01
output = 0.01
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    (tmp_path / "config").mkdir()
    return tmp_path


def configure(home: Path, text: str) -> None:
    (home / "config" / "config.toml").write_text(text)


def fill(home: Path, days: int = 3) -> None:
    store = Store(home / "state" / "requests.sqlite3", Keep())
    row = row_of(World().answered(), "an-ide")
    for number in range(days):
        day = day_of(time.time() - 86_400 * number)
        store.write(
            [
                replace(
                    row,
                    day=day,
                    prompt_tokens=900_000,
                    cached_tokens=400_000,
                    generated_tokens=100_000,
                    model="a-model-with-a-name-that-is-far-too-long",
                ),
                ModelUse(
                    day, row.model or "", "an-ide", 1_800_000.0, 900.0, 900_000, 400_000, 100_000
                ),
                DeviceUse(day, "cuda:0", 3600.0, 3600.0, 0.0, 2_800_000.0, 1_000_000.0),
            ]
        )
    store.close()


def cost(*words: str, charset: str = "utf-8") -> Result:
    return CliRunner(charset=charset).invoke(command, [*words])


@pytest.mark.parametrize("by", ["day", "model", "client"])
@pytest.mark.parametrize("charset", ["utf-8", "ascii"])
def test_all_of_it_fits_eighty_columns_of_any_terminal(home: Path, by: str, charset: str) -> None:
    configure(home, PRICES)
    fill(home)

    shown = cost("--by", by, charset=charset)

    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.output.splitlines())) <= 80
    assert ("●" in shown.output) == (charset == "utf-8")
    assert "\x1b" not in shown.output


def test_it_fits_too_with_large_amounts_and_long_names(home: Path) -> None:
    name = "the-largest-model-of-a-vendor-with-a-long-name"
    prices = "".join(f"[cost.apis.{name}-{n}]\ninput = 2e9\noutput = {n}\n" for n in range(3))
    configure(home, "[cost]\nelectricity_per_kwh = 20000000\n" + prices.replace("2e9", "9e8"))
    fill(home)

    shown = cost().output

    assert max(map(len, shown.splitlines())) <= 80
    assert f"b {name}-1" in shown, "what each line is"
    assert re.search(r"^ +[0-9.]+ G┤", shown, re.MULTILINE), "no figure of a scale is cut"


@pytest.mark.parametrize(("by", "said"), [("day", "the last 31"), ("client", "the 31 with most")])
def test_of_a_year_the_table_has_all_and_the_bars_say_which(home: Path, by: str, said: str) -> None:
    configure(home, PRICES)
    store = Store(home / "state" / "requests.sqlite3", Keep())
    row = replace(row_of(World().answered(), "x"), prompt_tokens=9)
    days = [day_of(time.time() - 86_400 * number) for number in range(365)]
    store.write([replace(row, day=day, client=f"client-{day}") for day in days])
    store.write([replace(row, day=days[-1], client=f"client-{days[-1]}")])
    store.close()

    shown = cost("--days", "365", "--by", by).output

    assert f"tokens by {by}: {said}\n" in shown
    assert shown.count(days[-1]) == (2 if by == "day" else 3), "the oldest has most tokens"
    assert shown.count(days[0]) >= 2


def test_a_ledger_that_another_program_holds_is_not_said_to_be_damaged(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localllm.metrics.ledger_totals.BUSY_S", 0.01)
    fill(home)
    with closing(sqlite3.connect(home / "state" / "requests.sqlite3")) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("DELETE FROM daily")

        error = cost().exception

    assert isinstance(error, LocalLLMError)
    assert (error.why, error.fix) == (
        "database is locked",
        "end the program that holds it, sqlite3 for instance, and try again",
    )


def test_what_is_no_file_is_not_said_to_be_damaged(home: Path) -> None:
    (home / "state" / "requests.sqlite3").mkdir(parents=True)

    error = cost().exception

    assert isinstance(error, LocalLLMError)
    assert "may read" in error.fix


def test_it_says_what_it_costs_here_and_there_and_from_when_on_it_is_less(home: Path) -> None:
    configure(home, PRICES)
    fill(home)

    shown = " ".join(cost().output.split())

    assert "energy: 1.50 kWh for answers, 833 Wh while nobody asked" in shown
    assert "here: 0.18 EUR of electricity for a million tokens" in shown
    assert "here: 0.10 EUR a day before the first token (idle 0.10, measured)" in shown
    assert "big: 6.60 EUR for the same tokens, 2.20 a million; less here from 49.5 k" in shown
    assert "long-name: 0.030 EUR for the same tokens, 0.010 a million; here it is never" in shown
    assert "cost of a day in EUR, by its tokens" in shown


def test_without_prices_it_says_which_lines_to_write_and_where(home: Path) -> None:
    fill(home)

    shown = cost().output

    assert "1.50 kWh for answers" in shown
    assert f"write your prices into {home / 'config' / 'config.toml'}:" in shown
    assert "    [cost]\n" in shown
    assert "    electricity_per_kwh = ..." in shown
    assert "    [cost.apis.NAME]\n" in shown
    assert "cost of a day" not in shown


def test_of_what_is_there_already_it_names_no_line(home: Path) -> None:
    configure(home, '[cost]\ncurrency = "EUR"\n')

    shown = cost().output

    assert "electricity_per_kwh = ..." in shown
    assert "currency =" not in shown


def test_the_lines_that_it_names_are_ones_that_the_settings_take(home: Path) -> None:
    fill(home)
    lines = [line.strip() for line in cost().output.splitlines() if line.startswith("    ")]

    configure(home, "\n".join(lines).replace("NAME", "big").replace("= ...", "= 1"))

    assert cost().exit_code == 0
    assert cost("--json").exit_code == 0
    assert json.loads(cost("--json").output)["total"]["apis"]["big"] > 0


def test_the_document_is_the_apis(home: Path) -> None:
    configure(home, PRICES)
    fill(home, days=3)

    document = json.loads(cost("--json", "--days", "2").output)

    assert len(document["rows"]) == 2
    assert document["total"]["electricity"] == pytest.approx(0.56)
    assert document["total"]["apis"]["big"] == pytest.approx(4.4)
    assert document["by"] == "day"
    assert document["from"] < document["to"] == day_of(time.time())


def test_without_a_ledger_there_is_nothing_and_none_is_made(home: Path) -> None:
    shown = cost()

    assert shown.exit_code == 0
    assert "no tokens were read or written in these days" in shown.output
    assert not (home / "state").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[cost]\nelectricity_per_kwh = -0.3", "cost.electricity_per_kwh"),
        ("[cost]\nelectricity_per_kwh = nan", "cost.electricity_per_kwh"),
        ("[cost]\nelectricity_per_kwh = inf", "cost.electricity_per_kwh"),
        ("[cost]\npsu_efficiency = 0", "cost.psu_efficiency"),
        ("[cost]\npsu_efficiency = 1.2", "cost.psu_efficiency"),
        ("[cost]\nhardware_price = 100", "hardware_years"),
        ('[cost]\ncurrency = "so many words"', "cost.currency"),
        ("[cost.apis.big]\ninput = 1\noutput = -1", "cost.apis.big.output"),
        ("[cost.apis.big]\ninput = nan\noutput = 1", "cost.apis.big.input"),
        ("[cost.apis.big]\ninput = 1", "output"),
        ("[cost.apis.big]\ninput = 1\noutput = 1\ncached = 1", "cached"),
    ],
)
def test_a_price_that_is_none_is_an_error_that_names_it(home: Path, text: str, named: str) -> None:
    configure(home, text)

    error = cost().exception

    assert isinstance(error, ConfigError)
    assert named in f"{error.what} {error.why} {error.fix}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--days", "0"), "--days"),
        (("--from", "29.11.2026"), "write it as in 2026-11-29"),
        (("--days", "3", "--from", "2026-11-29"), "keep one of them"),
        (("--by", "year"), "--by"),
        (("--from", "9999-01-01"), "not after the last one"),
    ],
)
def test_what_it_does_not_take_is_wrong_usage(
    home: Path, words: tuple[str, ...], said: str
) -> None:
    shown = cost(*words)

    assert shown.exit_code == 2
    assert said in shown.output


def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(home: Path) -> None:
    file = home / "state" / "requests.sqlite3"
    with closing(open_ledger(file, (*MIGRATIONS, ("CREATE TABLE more (it)",)))):
        pass

    error = cost().exception

    assert isinstance(error, NewerLedger)
    assert "localllm upgrade" in error.fix


def test_names_of_models_cannot_speak_to_the_terminal(home: Path) -> None:
    store = Store(home / "state" / "requests.sqlite3", Keep())
    row = row_of(World().answered(), "an-ide")
    store.write([replace(row, day=day_of(time.time()), model="m\x1b[31m\nevil")])
    store.close()

    shown = cost("--by", "model").output

    assert "\x1b" not in shown
    assert not [line for line in shown.splitlines() if line.startswith("evil")]
