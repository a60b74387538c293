"""ECG leads of a report as one array, whatever the device called them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedside.reports.model import Signal, Span

STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve leads, in the order of a printout."""
INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The other four are sums of I and II."""
_BY_UPPER = {name.upper(): name for name in (*STANDARD, "V7", "V8", "V9", "V3R", "V4R", "V5R", "X", "Y", "Z")}
_PREFIX = re.compile(r"^(?:MDC_ECG_LEAD_|LEAD[ _:-]*|ECG[ _:-]+|DERIVATION[ _:-]*)", re.IGNORECASE)
_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "nV": 1e-6, "V": 1e3}

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recording:
    """Leads that were recorded together.

    Attributes:
        names: of the leads, standard ones first.
        values: mV, shape [leads, n]; NaN where there is no sample.
        rate: samples a second.
        source: the file.
    """

    names: tuple[str, ...]
    values: Array
    rate: float
    source: Span

    @property
    def seconds(self) -> float:
        """Length."""
        return float(self.values.shape[1] / self.rate)

    def rows(self, names: Iterable[str]) -> list[int]:
        """Where the leads of these names stand; names that were not recorded are left out."""
        return [self.names.index(name) for name in names if name in self.names]


def lead_name(written: str) -> str:
    """`MDC_ECG_LEAD_AVR`, `Lead V1`, `avr` → `aVR`, `V1`, `aVR`; other names as they are."""
    plain = _PREFIX.sub("", written.strip())
    return _BY_UPPER.get(plain.upper().replace(" ", ""), plain)


def recordings(signals: Iterable[Signal]) -> list[Recording]:
    """ECG leads among `signals`, those of one rate and length together, most leads first.

    Signals in no unit of voltage are no ECG leads.
    """
    groups: dict[tuple[float, int], dict[str, Signal]] = {}
    for signal in signals:
        if signal.rate and signal.unit in _MILLIVOLTS and signal.values.size:
            groups.setdefault((signal.rate, signal.values.size), {}).setdefault(lead_name(signal.name), signal)
    found = [_recording(leads, rate) for (rate, _), leads in groups.items()]
    return sorted(found, key=lambda one: (-len(one.names), -one.seconds))


def _recording(leads: dict[str, Signal], rate: float) -> Recording:
    names = sorted(leads, key=lambda name: STANDARD.index(name) if name in STANDARD else len(STANDARD))
    values = np.stack([leads[name].values * _MILLIVOLTS[leads[name].unit] for name in names])
    return Recording(tuple(names), values, rate, Span(file=leads[names[0]].source.file, path=f"leads {', '.join(names)}"))
