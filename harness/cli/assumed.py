"""What options say of machines of one's own, checked: for `cost`, `advise`, `board`, `site` and `sovereignty`."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.cli import settings
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.schema.cost import Assumed


def amounts(said: Mapping[str, float | None]) -> None:
    """By their options. Raises `UsageError`."""
    for option, value in said.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{option}: {value:g} is no amount", "give a number that is not below 0")
    if said.get("--years") == 0:
        raise UsageError("--years: 0 is no lifetime", "give a number that is above 0")


def machines(
    *,
    country: str,
    business: bool,
    price_kwh: float | None,
    hardware_price: float | None,
    years: float,
    fx: Sequence[str] | None,
) -> Assumed:
    """Raises `UsageError`."""
    from harness.schema.cost import Assumed

    amounts({"--price-kwh": price_kwh, "--hardware-price": hardware_price, "--years": years})
    return Assumed(
        rates=rates(fx, settings.day(None)),
        electricity_per_kwh=price_kwh,
        country=country_code(country),
        customer=customer(business),
        machine_price=hardware_price,
        lifetime_years=years,
    )


def rates(words: Sequence[str] | None, day: datetime.date) -> dict[str, tuple[float, datetime.date]]:
    """`EUR=1.08@2026-11-20`; without a day of that `day`. Raises `UsageError`."""
    return dict(_rate(word, day) for word in words or ())


def customer(business: bool) -> str:
    return "business" if business else "household"


def country_code(country: str) -> str:
    """Of `--country`. Raises `UsageError`."""
    from harness.measure.conditions import EU
    from harness.schema.facts import COUNTRIES

    if country.upper() not in (EU, *COUNTRIES):
        raise UsageError(f"--country {country}: no country", "two letters, as ISO 3166 has them: DE, FR; or EU")
    return country.upper()


def seat(country: str | None) -> str | None:
    """Raises `UsageError`."""
    from harness.schema.facts import COUNTRIES

    if country is not None and country.upper() not in COUNTRIES:
        raise UsageError(f"--seat {country}: no country", "two letters, as ISO 3166 has them: DE, FR, US")
    return country and country.upper()


def _rate(word: str, day: datetime.date) -> tuple[str, tuple[float, datetime.date]]:
    code, _, rest = word.partition("=")
    number, _, since = rest.partition("@")
    try:
        rate = float(number)
    except ValueError:
        rate = math.nan
    if not code or not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"--fx {word}: no exchange rate", "write it like EUR=1.08, or EUR=1.08@2026-11-20")
    return code.upper(), (rate, settings.day(since) if since else day)
