"""What a demand costs on machines of one's own. The hours come first:

    busy = output / output_tok_s + (input computed - input that output_tok_s has in it) / prefill_tok_s

A day is those hours at the active watts and the rest of it at the idle watts; the machines' price is spread evenly over their lifetime.
Pure; docs/cost.md has the formulas and what is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.measure.entries import Undefined, Values, computed, is_number, number, scaled, shown
from harness.measure.money import NO_OUTPUT, YEAR_DAYS, exchange, forms
from harness.schema.board import Entry
from harness.schema.cost import Demand, Exchange, Local, LocalCost

HOURS_PER_DAY, SECONDS_PER_HOUR, JOULES_PER_WH = 24, 3600, 3600
DAY_H = HOURS_PER_DAY * (1 + 1e-9)
"""With what rounding may add to it."""


def local_cost(demand: Demand, local: Local, currency: str, rates: Sequence[Exchange] = ()) -> LocalCost:
    work = Work(demand, local, currency, rates)
    active, whole = (
        work.speeds | {"active_w": local.active_w},
        work.speeds | {"active_w": local.active_w, "idle_w": local.idle_w},
    )
    money = f"{currency}/day"
    return LocalCost(
        name=local.name,
        currency=currency,
        busy_h_per_day=computed("h/day", lambda v: work.busy_h(v) / local.copies, work.speeds, work.say_busy),
        copies_needed=computed("copies", work.copies_needed, work.speeds, work.say_copies),
        active_wh_per_day=computed("Wh/day", work.active_wh, active, work.say_active),
        idle_wh_per_day=computed("Wh/day", work.idle_wh, work.speeds | {"idle_w": local.idle_w}, work.say_idle),
        active_j_per_output_token=_per_token(demand, computed("Wh/day", work.active_wh, active, work.say_active)),
        j_per_output_token=_per_token(demand, computed("Wh/day", work.wh, whole, work.say_wh)),
        electricity=forms(demand, computed(money, work.electricity, active | work.tariff, work.say_electricity), currency),
        with_idle=forms(demand, computed(money, work.with_idle, whole | work.tariff, work.say_with_idle), currency),
        with_hardware=forms(
            demand, computed(money, work.with_hardware, whole | work.tariff | work.price, work.say_with_hardware), currency
        ),
        notes=local.notes,
    )


def saturated(local: Local, *, input_tokens: float, output_tokens: float, cached_input_share: float = 0.0) -> Demand:
    """The most requests of that size that are sure to fit into a day: by the low end of the speeds' intervals. Raises `Undefined`."""
    one = Demand(
        requests_per_day=1.0,
        input_tokens_per_request=input_tokens,
        output_tokens_per_request=output_tokens,
        cached_input_share=cached_input_share,
    )
    work = Work(one, local, "", ())
    hours = computed("h", work.busy_h, work.speeds, work.say_busy)
    if not is_number(hours):
        raise Undefined(hours.why)
    longest = number(hours) if hours.high is None else hours.high
    if longest <= 0:
        raise Undefined(NO_OUTPUT)
    return Demand(
        requests_per_day=HOURS_PER_DAY * local.copies / longest,
        input_tokens_per_request=input_tokens,
        output_tokens_per_request=output_tokens,
        cached_input_share=cached_input_share,
    )


class Work:
    """One system under one demand: each formula over `Values` by the names of its inputs, and beside it (`say_…`) the same in words."""

    def __init__(self, demand: Demand, local: Local, currency: str, rates: Sequence[Exchange]) -> None:
        self._demand, self._local, self._currency = demand, local, currency
        output = demand.output_tokens_per_day
        asked, within = demand.computed_input_tokens_per_day, local.input_tokens_per_output_token * output
        self._more_input = 0.0 if math.isclose(asked, within) else asked - within
        """Tokens a day whose prefill is not in `output_tok_s`; below 0: it has more in it than is asked for."""
        self._tokens = [(name, n) for name, n in (("output_tok_s", output), ("prefill_tok_s", self._more_input)) if n]
        self.speeds: dict[str, Entry] = {name: getattr(local, name) for name, _ in self._tokens}
        """The inputs of the hours: only those that count."""
        self.tariff = {"electricity_per_kwh": local.electricity_per_kwh} | exchange(
            "electricity_rate", local.electricity_per_kwh, currency, rates
        )
        self.price = {"machine_price": local.machine_price} | exchange("hardware_rate", local.machine_price, currency, rates)

    def busy_h(self, v: Values) -> float:
        """A day's, of all copies together."""
        seconds = 0.0
        for name, tokens in self._tokens:
            if v[name] <= 0:
                raise Undefined(f"{name} is not above 0")
            seconds += tokens / v[name]
        if self._more_input < 0 and v["output_tok_s"] * self._local.input_tokens_per_output_token >= v["prefill_tok_s"]:
            raise Undefined(
                f"the speed was measured with {shown(self._local.input_tokens_per_output_token)} input tokens to each output token, "
                f"and their prefill at {shown(v['prefill_tok_s'])} tok/s would take all its time: nothing tells how fast it is with "
                "less input; measure a cell of this demand's shape"
            )
        return seconds / SECONDS_PER_HOUR

    def say_busy(self, v: Values, value: float) -> str:
        parts = []
        if "output_tok_s" in self.speeds:
            parts.append(f"{shown(self._demand.output_tokens_per_day)} output tok/day / {shown(v['output_tok_s'])} tok/s")
        if "prefill_tok_s" in self.speeds:
            more = "more" if self._local.input_tokens_per_output_token else "computed"
            less = f"{shown(abs(self._more_input))} {'fewer' if self._more_input < 0 else more} input tok/day"
            parts.append(f"{'-' if self._more_input < 0 else '+'} {less} / {shown(v['prefill_tok_s'])} tok/s")
        said = f"({' '.join(parts)}) / 3600 s/h{self._divided()}"
        if value <= DAY_H:
            return said
        return f"{said} (more than the 24 of a day, it does not fit; {copies(self.busy_h(v))} copies would do)"

    def copies_needed(self, v: Values) -> float:
        return float(copies(self.busy_h(v)))

    def say_copies(self, v: Values, value: float) -> str:
        return f"{shown(self.busy_h(v))} h/day / 24, rounded up"

    def active_wh(self, v: Values) -> float:
        return v["active_w"] * self.busy_h(v)

    def say_active(self, v: Values, value: float) -> str:
        return f"{shown(v['active_w'])} W ({self._local.power_scope}) × {shown(self.busy_h(v))} h/day"

    def idle_wh(self, v: Values) -> float:
        return v["idle_w"] * (HOURS_PER_DAY * self._local.copies - self._fitting_h(v))

    def say_idle(self, v: Values, value: float) -> str:
        rest = HOURS_PER_DAY * self._local.copies - self.busy_h(v)
        return f"{shown(v['idle_w'])} W ({self._local.power_scope}) × {shown(max(rest, 0.0))} h/day"

    def wh(self, v: Values) -> float:
        busy = self._fitting_h(v)
        return v["active_w"] * busy + v["idle_w"] * (HOURS_PER_DAY * self._local.copies - busy)

    def say_wh(self, v: Values, value: float) -> str:
        return f"{self.say_active(v, value)} + {self.say_idle(v, value)}"

    def electricity(self, v: Values) -> float:
        return v["active_w"] * self._fitting_h(v) / 1000 * v["electricity_per_kwh"] * v.get("electricity_rate", 1.0)

    def say_electricity(self, v: Values, value: float) -> str:
        return f"{self.say_active(v, value)} {self._say_tariff(v)}"

    def with_idle(self, v: Values) -> float:
        return self.wh(v) / 1000 * v["electricity_per_kwh"] * v.get("electricity_rate", 1.0)

    def say_with_idle(self, v: Values, value: float) -> str:
        return f"({self.say_wh(v, value)}) {self._say_tariff(v)}"

    def hardware(self, v: Values) -> float:
        """The price of all machines."""
        return v["machine_price"] * self._local.machines * self._local.copies * v.get("hardware_rate", 1.0)

    def say_hardware(self, v: Values) -> str:
        number_of = self._local.machines * self._local.copies
        unit = self._local.machine_price.unit
        rate = f" × {shown(v['hardware_rate'])} {self._currency}/{unit}" if "hardware_rate" in v else ""
        return f"{shown(v['machine_price'])} {unit}{f' × {number_of} machines' if number_of > 1 else ''}{rate}"

    def with_hardware(self, v: Values) -> float:
        if self._local.lifetime_years <= 0:
            raise Undefined("a lifetime is above 0 years")
        return self.with_idle(v) + self.hardware(v) / (YEAR_DAYS * self._local.lifetime_years)

    def say_with_hardware(self, v: Values, value: float) -> str:
        years = shown(self._local.lifetime_years)
        return f"{self.say_with_idle(v, value)} + {self.say_hardware(v)} / ({YEAR_DAYS} days × {years} years)"

    def _fitting_h(self, v: Values) -> float:
        """Raises `Undefined` with how many copies would do."""
        busy, here = self.busy_h(v), self._local.copies
        if busy / here > DAY_H:
            raise Undefined(
                f"it does not fit: {shown(busy)} h of work a day, and {here} {'copies have' if here > 1 else 'copy has'} "
                f"{HOURS_PER_DAY * here}; {copies(busy)} copies would do"
            )
        return busy

    def _divided(self) -> str:
        return f" / {self._local.copies} copies" if self._local.copies > 1 else ""

    def _say_tariff(self, v: Values) -> str:
        unit = self._local.electricity_per_kwh.unit
        rate = f" × {shown(v['electricity_rate'])} {self._currency}/{unit.split('/')[0]}" if "electricity_rate" in v else ""
        return f"/ 1000 × {shown(v['electricity_per_kwh'])} {unit}{rate}"


def copies(busy_h_per_day: float) -> int:
    """How many are busy no more than 24 hours a day each."""
    return max(1, math.ceil(busy_h_per_day / DAY_H))


def _per_token(demand: Demand, wh_per_day: Entry) -> Entry:
    """Of the output."""
    tokens = demand.output_tokens_per_day
    if not tokens:
        return Entry(unit="J/tok", why=NO_OUTPUT)
    return scaled(wh_per_day, JOULES_PER_WH / tokens, "J/tok", f"× 3600 J/Wh / {shown(tokens)} output tok/day")
