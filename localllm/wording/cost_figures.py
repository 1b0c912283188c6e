"""Tokens, energy and money as people read them. Pure."""

from __future__ import annotations

from localllm.wording.figures import DASH

_UNITS = ((1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_WH, _KWH = 3_600, 3_600_000
_LEAST_SHOWN = 0.0001
_LARGE = 100_000
_FEW = 100
"""A figure below that has a tenth."""


def tokens_of(count: float | None) -> str:
    """Render a count in six columns at most.

    >>> tokens_of(950), tokens_of(12_345), tokens_of(1_234_567), tokens_of(999_999)
    ('950', '12.3 k', '1.2 M', '1.0 M')
    """
    if count is None:
        return DASH
    for unit, name in _UNITS:
        if round(count / unit, 1) >= 1:
            return f"{_short(count / unit)} {name}"
    return f"{count:.0f}"


def energy_of(joules: float | None) -> str:
    """Render energy.

    >>> energy_of(500), energy_of(18_000), energy_of(7_200_000), energy_of(None)
    ('500 J', '5.0 Wh', '2.00 kWh', '-')
    """
    if joules is None:
        return DASH
    if joules >= _KWH:
        return f"{joules / _KWH:.2f} kWh" if joules < 10 * _KWH else f"{_short(joules / _KWH)} kWh"
    return f"{_short(joules / _WH)} Wh" if joules >= _WH else f"{joules:.0f} J"


def money_of(amount: float | None, currency: str = "") -> str:
    """Render an amount: to the hundredth, of small ones to two figures, and large ones whole.

    >>> money_of(12.345, "EUR"), money_of(0.0321), money_of(0.0), money_of(0.00001), money_of(123456.7)
    ('12.35 EUR', '0.032', '0.00', '<0.0001', '123457')
    """
    if amount is None:
        return DASH
    return f"{_amount(amount)} {currency}".rstrip()


def _short(figure: float) -> str:
    return f"{figure:.1f}" if round(figure, 1) < _FEW else f"{figure:.0f}"


def _amount(amount: float) -> str:
    if amount >= _LARGE:
        return f"{amount:.0f}"
    if amount == 0 or round(amount, 3) >= 0.1:  # noqa: PLR2004  # from there on, hundredths say enough
        return f"{amount:.2f}"
    if amount < _LEAST_SHOWN:
        return f"<{_LEAST_SHOWN}"
    return f"{amount:.4f}" if round(amount, 4) < 0.01 else f"{amount:.3f}"  # noqa: PLR2004  # two figures
