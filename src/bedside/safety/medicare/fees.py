"""Whether an MBS item could be claimed on a day, and what a visit costs. Amounts are dollars, rounded half up to the cent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from bedside.knowledge import medicare
from bedside.knowledge.facts import Fact
from bedside.knowledge.mbs_import import ScheduleItem, schedule_item
from bedside.safety.medicare.answers import Answer, Facts, ItemNumber, Tables, Undecided, answer, need, newest, rule_on, service_day, shown


class ItemFacts(Facts):
    """Facts of `item_active`."""

    item: ItemNumber = None


def item_active(facts: ItemFacts, tables: Tables) -> Answer:
    """Whether an item could be claimed on that day: by the built-in facts, then by the schedule imported for that time."""
    general = newest("MBS-REVISION")
    day = service_day(facts, "MBS-REVISION")
    number = need(general, "item", facts.item)
    known = medicare.items().get(number)
    if known:
        begin_end = f"{known.name}: from {known.valid_from}" + (f" to {known.valid_to}" if known.valid_to else "")
        return answer(known, "yes" if known.holds_on(day) else "no", begin_end)
    found = _scheduled(tables.mbs, number, day)
    if isinstance(found, ScheduleItem):
        because = f"The schedule has it from {found.started} to {found.ended or 'further notice'}"
        return answer(_source(found.schedule), "yes" if found.holds_on(day) else "no", because)
    if found:
        return answer(_source(found), "no", f"The schedule of {found} has no item {number}")
    raise Undecided(general, f"Item {number} is not on record for {day}; import the schedule of that time")


def _scheduled(table: Path | None, number: str, day: dt.date) -> ScheduleItem | dt.date | None:
    """What the imported schedule says; None where none is at hand that speaks for that day."""
    found = schedule_item(table, number, day) if table else None
    schedule = found.schedule if isinstance(found, ScheduleItem) else found
    return found if schedule and day < _next_revision(schedule) else None


def _next_revision(schedule: dt.date) -> dt.date:
    """The first day after a schedule's own on which the schedule is revised as a rule."""
    months = sorted(int(month) for month in newest("MBS-REVISION").values.values())
    later = [dt.date(year, month, 1) for year in (schedule.year, schedule.year + 1) for month in months]
    return min(day for day in later if day > schedule)


def _source(schedule: dt.date) -> Fact:
    """An imported schedule as the fact that an answer names."""
    return Fact(id=f"MBS-SCHEDULE-{schedule}", source=f"MBS schedule of {schedule}, imported by the practice", certainty="A")


Money = Annotated[Decimal, Field(ge=0, lt=100_000, allow_inf_nan=False)]


class Price(BaseModel):
    """What a practice charges for one type of visit.

    Attributes:
        fee: dollars charged.
        concession_fee: dollars charged to concession card holders; None: the same.
        item: MBS item that the visit is expected to be.
        private: Medicare pays nothing towards it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)
    fee: Money | None = None
    concession_fee: Money | None = None
    item: ItemNumber = None
    private: bool = False


def _read_prices(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = value["fees"] if isinstance(value.get("fees"), Mapping) and "fee" not in value["fees"] else value
        return {name: price if isinstance(price, Mapping | Price) else {"fee": price} for name, price in value.items()}
    return value


class QuoteFacts(Facts):
    """Facts of `fee_quote`."""

    practice: Annotated[dict[str, Price] | None, BeforeValidator(_read_prices)] = Field(
        default=None, description="the practice's own fee list: type of visit to its price, also under `fees`"
    )
    type: str | None = Field(default=None, description="type of visit, as in the fee list")
    concession: bool | None = Field(default=None, description="holds a concession card; asked for where the fee differs")
    item: ItemNumber = Field(default=None, validation_alias=AliasChoices("item", "mbs_item"), description="where the fee list names none")


def fee_quote(facts: QuoteFacts, tables: Tables) -> Answer:
    """What a visit costs: value `fee`, `benefit` and `gap` in dollars; unknown where the fee or the benefit is not on record.

    The gap is the fee less the benefit, and nothing where the fee is no more than that: Medicare pays no more than was charged.
    """
    rule = newest("TH-4")
    prices, name = need(rule, "practice", facts.practice), need(rule, "type", facts.type)
    if name not in prices:
        raise Undecided(rule, f"The fee list has no type {shown(name)}, only {', '.join(sorted(prices)) or 'nothing'}", ("practice",))
    fee = _charged(prices[name], facts)
    if prices[name].private:
        value = {"fee": _cents(fee), "benefit": "0.00", "gap": _cents(fee)}
        return answer(rule, "yes", f"It is a private fee of {_cents(fee)} dollars without a Medicare benefit", value)
    number = need(rule, "item", prices[name].item or facts.item)
    day = service_day(facts, "TH-4")
    source, benefit = _benefit(tables.mbs, number, day)
    benefit = min(benefit, fee)
    value = {"fee": _cents(fee), "benefit": _cents(benefit), "gap": _cents(fee - benefit)}
    because = (
        f"If the visit is item {number} and Medicare pays its benefit of {value['benefit']} dollars, {value['gap']} dollars remain to pay"
    )
    return answer(source, "yes", because, value)


def _charged(price: Price, facts: QuoteFacts) -> Decimal:
    rule = newest("TH-4")
    fee = need(rule, "practice", price.fee)
    if price.concession_fee is None or price.concession_fee == fee:
        return fee
    return price.concession_fee if need(rule, "concession", facts.concession) else fee


def _benefit(table: Path | None, number: str, day: dt.date) -> tuple[Fact, Decimal]:
    """The benefit out of hospital on that day and the fact that says so: the imported schedule before the built-in fees."""
    found = _scheduled(table, number, day)
    scheduled = found if isinstance(found, ScheduleItem) else None
    life = medicare.items().get(number)
    if life and not life.holds_on(day):
        raise Undecided(life, f"Item {number} could not be claimed on {day}")
    if scheduled and not scheduled.holds_on(day):
        raise Undecided(_source(scheduled.schedule), f"Item {number} could not be claimed on {day}")
    if scheduled and scheduled.benefit is not None and (scheduled.fee_from is None or scheduled.fee_from <= day):
        return _source(scheduled.schedule), scheduled.benefit
    for fee in medicare.fees():
        if number in fee.items and fee.holds_on(day):
            return fee, fee.benefit
    raise Undecided(
        rule_on("MBS-REVISION", day), f"The benefit of item {number} on {day} is not on record; import the schedule of that time"
    )


def _cents(amount: Decimal) -> str:
    return str(amount.quantize(Decimal("0.01"), ROUND_HALF_UP))
