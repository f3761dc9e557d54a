"""Which of several rows holds on a day."""

from __future__ import annotations

import datetime

from harness.facts import lookup
from harness.schema.facts import Electricity, ExchangeRate, Fact, Facts, HardwarePrice, Source

SPRING, SUMMER, AUTUMN = (datetime.date(2026, month, 1) for month in (3, 6, 9))


def fact(value: float) -> Fact[float]:
    return Fact(value=value, sources=(Source(url="https://example.org", kind="primary", date=SPRING),))


def test_the_price_of_a_machine_is_the_last_one_up_to_that_day() -> None:
    rows = [HardwarePrice(machine="m", since=day, currency="USD", price=fact(day.month)) for day in (AUTUMN, SPRING, SUMMER)]
    other = HardwarePrice(machine="n", since=AUTUMN, currency="USD", price=fact(1))
    facts = Facts(hardware_prices=(*rows, other))
    until = [lookup.hardware_price(facts, "m", day) for day in (SPRING, datetime.date(2026, 8, 31), AUTUMN)]
    assert [row and row.price.value for row in until] == [3, 6, 9]
    assert lookup.hardware_price(facts, "m", datetime.date(2026, 2, 28)) is None


def test_of_each_pair_of_currencies_the_last_rate_up_to_that_day() -> None:
    rows = [ExchangeRate(of="EUR", to="USD", day=day, rate=fact(day.month)) for day in (SUMMER, AUTUMN, SPRING)]
    facts = Facts(exchange=(*rows, ExchangeRate(of="GBP", to="USD", day=SPRING, rate=fact(2))))
    assert {row.of: row.rate.value for row in lookup.exchange(facts, datetime.date(2026, 8, 31))} == {"EUR": 6, "GBP": 2}
    assert {row.of: row.rate.value for row in lookup.exchange(facts, AUTUMN)} == {"EUR": 9, "GBP": 2}
    assert lookup.exchange(facts, datetime.date(2026, 2, 28)) == []


def test_the_price_of_electricity_is_the_last_of_that_country_and_customer() -> None:
    rows = [
        Electricity(country=country, customer=customer, period=period, currency="EUR", per_kwh=fact(value))
        for country, customer, period, value in (
            ("DE", "household", "2024-H2", 2),
            ("DE", "household", "2025-H1", 1),
            ("DE", "business", "2025-H2", 3),
            ("FR", "household", "2025-H2", 4),
        )
    ]
    found = lookup.electricity(Facts(electricity=tuple(rows)), "DE", "household")
    assert found is not None
    assert found.per_kwh.value == 1
    assert lookup.electricity(Facts(), "DE", "household") is None
