"""Errors of the ECG measurements: on invented ECGs with known intervals, on neurokit2's simulator, and on PTB-XL against its statements."""

from __future__ import annotations

import ast
import csv
import os
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bedside.reports.measure.ecg import measure_ecg
from bedside.reports.model import DiagnosticReport, Measured, Signal, Span
from bedside.reports.readers.wfdb_record import read_path
from bench.invented_ecg import LEADS, drawn, recorded

DATA = Path(os.environ.get("BEDSIDE_DATA", "../shared/data")) / "ptbxl"
NUMBER = int(os.environ.get("BEDSIDE_BENCH_ECGS", "120"))
_NAMES = {"rate": "Heart rate", "PR": "PR interval", "QRS": "QRS duration", "QT": "QT interval", "QTcF": "QTc Fridericia"}
_IRREGULAR, _REGULAR = {"AFIB"}, {"SR", "SBRAD", "STACH", "PACE"}


def measure(console: Console) -> None:
    """Print errors of each interval, of the detector beside neurokit2's, and of the rhythm on PTB-XL."""
    _invented(console)
    _simulated(console)
    if DATA.exists():
        _ptbxl(console)
    else:
        console.print(f"no PTB-XL at {DATA}; set BEDSIDE_DATA")


def report_of(values: NDArray[np.float64], rate: float) -> DiagnosticReport:
    """Twelve leads, mV, as a report."""
    signals = tuple(
        Signal(name=name, values=row, unit="mV", rate=rate, source=Span(file="invented")) for name, row in zip(LEADS, values, strict=True)
    )
    return DiagnosticReport(kind="ecg", format="invented", signals=signals)


def value_of(found: Measured, name: str) -> float:
    """A measured number; NaN where there is none."""
    return next((finding.value for finding in found.findings if finding.name == name and finding.value is not None), float("nan"))


def _invented(console: Console) -> None:
    rng, errors, seconds = np.random.default_rng(1), [], 0.0
    for number in range(NUMBER):
        heart, rate = drawn(rng), (100, 250, 500, 1000)[number % 4]
        report = report_of(recorded(heart, rng, rate, noise=0.01 if number % 3 else 0.03), rate)
        start = perf_counter()
        found = measure_ecg(report)
        seconds += perf_counter() - start
        truth = (heart.rate, 1000 * (heart.pr or 0), 1000 * heart.qrs, 1000 * heart.qt, 1000 * heart.qt / np.cbrt(60 / heart.rate))
        errors.append([value_of(found, name) - true for name, true in zip(_NAMES.values(), truth, strict=True)])
    _table(console, f"{NUMBER} invented ECGs, 100 to 1000 Hz ({seconds / NUMBER:.2f} s each)", np.array(errors))


def _table(console: Console, title: str, errors: NDArray[np.float64]) -> None:
    table = Table("", "measured", "mean", "SD", "95 % within", "worst", title=title)
    for name, row in zip(_NAMES, errors.T, strict=True):
        known = row[np.isfinite(row)]
        ends = f"{np.percentile(known, 2.5):+.1f} … {np.percentile(known, 97.5):+.1f}"
        table.add_row(
            name, f"{len(known)}/{len(row)}", f"{known.mean():+.1f}", f"{known.std():.1f}", ends, f"{known[np.abs(known).argmax()]:+.1f}"
        )
    console.print(table)


def _simulated(console: Console) -> None:
    """Rate on neurokit2's dynamical model (McSharry et al., IEEE Trans Biomed Eng 2003;50:289), whose waves have no exact ends."""
    import neurokit2

    ours, theirs = [], []
    for rate in range(45, 130, 12):
        leads = neurokit2.ecg_simulate(duration=10, sampling_rate=500, heart_rate=rate, method="multileads", random_state=rate)
        ours.append(value_of(measure_ecg(report_of(leads.to_numpy().T[: len(LEADS)], 500)), "Heart rate") - rate)
        peaks = neurokit2.ecg_peaks(leads.iloc[:, 1], sampling_rate=500)[1]["ECG_R_Peaks"]
        theirs.append(60 / float(np.diff(peaks).mean() / 500) - rate)
    worst = [f"{np.max(np.abs(errors)):.1f}" for errors in (ours, theirs)]
    console.print(
        f"neurokit2's simulator, {len(ours)} rates: off by {worst[0]} a minute at most; neurokit2's detector on lead II: by {worst[1]}"
    )


def _ptbxl(console: Console) -> None:
    with (DATA / "ptbxl_database.csv").open(encoding="utf-8") as rows:
        records = [row for row in csv.DictReader(rows) if (DATA / f"{row['filename_lr']}.hea").exists()]
    counts = {"irregular": [0, 0], "regular": [0, 0]}
    normal = []
    for row in records:
        codes = set(ast.literal_eval(row["scp_codes"]))
        found = measure_ecg(read_path(DATA / f"{row['filename_lr']}.hea")[0])
        rhythm = next((finding.text for finding in found.findings if finding.name == "Rhythm"), "")
        label = "irregular" if codes & _IRREGULAR else "regular" if codes & _REGULAR else ""
        if label:
            counts[label][0] += rhythm.startswith(label)
            counts[label][1] += 1
        if "NORM" in codes:
            normal.append([value_of(found, name) for name in _NAMES.values()])
    right, known = (sum(count[place] for count in counts.values()) for place in (0, 1))
    shares = ", ".join(f"{name} {count[0]}/{count[1]}" for name, count in counts.items())
    console.print(f"PTB-XL: rhythm right in {right}/{known} ({right / known:.1%}): {shares}")
    medians = np.nanmedian(np.array(normal), axis=0)
    console.print("PTB-XL normal ECGs, medians: " + ", ".join(f"{name} {value:.0f}" for name, value in zip(_NAMES, medians, strict=True)))
    console.print("published medians of adults (Mason et al., J Electrocardiol 2007;40:228): PR about 155, QRS about 91, QTcF about 405")
