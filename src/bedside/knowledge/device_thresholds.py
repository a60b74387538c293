"""Limits of device tests: ECG intervals, blood pressure, spirometry, glucose sensors, oxygen saturation. Facts of `device_thresholds.yaml`."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal, Self

from pydantic import model_validator

from bedside.errors import KnowledgeError
from bedside.knowledge.facts import Fact, built_in

Test = Literal["ecg", "blood_pressure", "spirometry", "glucose", "oximetry"]


class DeviceThreshold(Fact):
    """One limit, or two.

    Attributes:
        test: what it is of.
        name: what is compared with it.
        unit: UCUM code of the limits.
        low: the least value that is not too low; minus infinity where that side is open.
        high: the greatest value that is not too high; infinity where that side is open.
        sex: whom it is for; None: both.
        group: whom else it is for (`older or high risk`, `pregnancy, type 1`), or "".
        note: how it is meant, or "".
    """

    test: Test
    name: str
    unit: str
    low: float = -math.inf
    high: float = math.inf
    sex: Literal["female", "male"] | None = None
    group: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if math.isinf(self.low) and math.isinf(self.high):
            raise ValueError("has neither low nor high")
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not under high {self.high:g}")
        return self


@cache
def device_thresholds() -> tuple[DeviceThreshold, ...]:
    """All of them, in the file's order."""
    return built_in(DeviceThreshold, "device_thresholds.yaml")


@cache
def threshold(name: str) -> DeviceThreshold:
    """The threshold of an id without its prefix: `cgm.days` for `device.cgm.days`.

    Raises:
        KnowledgeError: there is none.
    """
    for fact in device_thresholds():
        if fact.id == f"device.{name}":
            return fact
    raise KnowledgeError(f"no device threshold is called {name!r}", "See knowledge/device_thresholds.yaml")
