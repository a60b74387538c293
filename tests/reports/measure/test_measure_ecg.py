from __future__ import annotations

import ast
import csv
import os
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from bench.invented_ecg import LEADS, Heart, drawn, recorded
from bench.reports_ecg import report_of, value_of

from bedside.reports.measure.ecg import measure_ecg, qtc_bazett, qtc_fridericia
from bedside.reports.model import DiagnosticReport, Signal, Span
from bedside.reports.readers.wfdb_record import read_path

PTBXL = Path(os.environ.get("BEDSIDE_DATA", "../shared/data")) / "ptbxl"


def rhythm_of(found) -> str:
    return next(finding.text for finding in found.findings if finding.name == "Rhythm")


def codes_of(found) -> set[str]:
    return {note.code for note in found.quality}


def test_intervals_of_invented_ecgs_are_found_at_every_sampling_rate():
    rng, errors = np.random.default_rng(11), []
    for number in range(16):
        heart, rate = drawn(rng), (100, 250, 500, 1000)[number % 4]
        found = measure_ecg(report_of(recorded(heart, rng, rate), rate))
        rr = 60 / value_of(found, "Heart rate")
        truth = qtc_fridericia(1000 * heart.qt, 60 / heart.rate)
        errors.append(
            (
                value_of(found, "Heart rate") - heart.rate,
                value_of(found, "QTc Fridericia") - truth,
                value_of(found, "QRS duration") - 1000 * heart.qrs,
            )
        )
        assert value_of(found, "QTc Bazett") == pytest.approx(qtc_bazett(value_of(found, "QT interval"), rr), abs=4)
    rates, qtcs, qrs = np.abs(np.array(errors)).T
    assert rates.max() <= 5 and qtcs.max() <= 20
    assert np.percentile(qrs, 90) <= 20


def test_the_formulas_give_the_values_of_their_papers():
    assert qtc_bazett(400, 1.0) == qtc_fridericia(400, 1.0) == 400
    assert qtc_bazett(360, 0.64) == pytest.approx(450)
    assert qtc_fridericia(360, 0.729) == pytest.approx(400)


def test_early_and_wide_beats_do_not_make_a_rhythm_irregular_nor_move_its_intervals():
    rng = np.random.default_rng(2)
    found = measure_ecg(report_of(recorded(Heart(early=(3, 7), wide=True), rng), 500))
    assert rhythm_of(found).startswith("regular, 2 early")
    assert value_of(found, "QT interval") == pytest.approx(390, abs=15)
    assert value_of(found, "QRS duration") == pytest.approx(92, abs=15)


def test_an_irregular_rhythm_without_p_waves_is_told_and_has_no_pr():
    found = measure_ecg(report_of(recorded(Heart(rate=90, pr=None, irregular=0.22, qt=0.34), np.random.default_rng(4)), 500))
    assert rhythm_of(found).startswith("irregular")
    assert np.isnan(value_of(found, "PR interval"))
    assert any(finding.name == "P wave" for finding in found.findings)


def test_every_number_has_a_method_an_uncertainty_and_is_marked_as_not_the_devices():
    found = measure_ecg(report_of(recorded(Heart(), np.random.default_rng(1)), 500))
    for finding in found.findings:
        assert finding.device == "bedside" and finding.method and finding.status == "preliminary"
        assert finding.value is None or finding.uncertainty


def spoiled(change, rate: int = 500, seconds: float = 10):
    values = recorded(Heart(), np.random.default_rng(6), rate, seconds)
    return measure_ecg(report_of(change(values), rate))


def flat(values):
    values[[0, 4, 6, 7, 8]] = 0.0
    return values


def swapped(values):
    one, two, three = values[:3].copy()
    return np.stack([-one, three, two, values[4], values[3], values[5], *values[6:]])


def clipped(values):
    return np.clip(values * 4, -1.2, 1.2)


def gaps(values):
    values[:, 1000:1400] = np.nan
    return values


@pytest.mark.parametrize(
    ("change", "code", "grave"),
    [
        (flat, "flat_lead", True),
        (swapped, "lead_swap", True),
        (clipped, "saturated", True),
        (gaps, "missing_samples", True),
        (lambda values: values + 0.3 * np.random.default_rng(0).standard_normal(values.shape), "noise", False),
        (lambda values: values[:, :1500], "too_short", True),
        (lambda values: values[[1, 0, *range(2, 12)]], "lead_mismatch", True),
    ],
)
def test_a_poor_recording_says_so_first(change, code, grave):
    found = spoiled(change)
    assert code in codes_of(found)
    assert next(note for note in found.quality if note.code == code).grave >= grave
    assert [note.grave for note in found.quality] == sorted((note.grave for note in found.quality), reverse=True)


def test_a_good_recording_has_nothing_against_it():
    assert spoiled(lambda values: values).quality == ()


def test_what_is_no_ecg_gives_no_numbers():
    noise = np.random.default_rng(1).standard_normal((12, 5000)) * 0.01
    assert not measure_ecg(report_of(np.zeros((12, 5000)), 500)).findings
    assert codes_of(measure_ecg(report_of(np.zeros((12, 5000)), 500))) >= {"flat_lead", "not_measured"}
    assert measure_ecg(report_of(noise[:, :200], 500)).findings == ()
    empty = DiagnosticReport(kind="ecg", format="x")
    assert measure_ecg(empty).findings == () and measure_ecg(empty).quality == ()
    odd = np.full((12, 3000), np.nan)
    assert measure_ecg(report_of(odd, 500)).findings == ()


def test_one_lead_is_measured_and_told():
    values = recorded(Heart(), np.random.default_rng(8))
    signal = Signal(name="Lead II", values=values[1] * 1000, unit="uV", rate=500, source=Span(file="watch"))
    found = measure_ecg(DiagnosticReport(kind="ecg", format="x", signals=(signal,)))
    assert "missing_leads" in codes_of(found)
    assert value_of(found, "Heart rate") == pytest.approx(70, abs=3)


def test_it_takes_less_than_three_seconds():
    report = report_of(recorded(Heart(), np.random.default_rng(1), 1000), 1000)
    start = perf_counter()
    measure_ecg(report)
    assert perf_counter() - start < 3
    assert [signal.name for signal in report.signals] == list(LEADS)


@pytest.mark.slow
@pytest.mark.skipif(not PTBXL.exists(), reason=f"no PTB-XL at {PTBXL}; set BEDSIDE_DATA")
def test_rhythm_of_real_ecgs_is_right():
    with (PTBXL / "ptbxl_database.csv").open(encoding="utf-8") as rows:
        records = [row for row in csv.DictReader(rows) if (PTBXL / f"{row['filename_lr']}.hea").exists()]
    right, qtcs = [], []
    for row in records[::3]:
        codes = set(ast.literal_eval(row["scp_codes"]))
        found = measure_ecg(read_path(PTBXL / f"{row['filename_lr']}.hea")[0])
        if codes & {"AFIB", "SR", "SBRAD", "STACH"}:
            right.append(rhythm_of(found).startswith("irregular" if "AFIB" in codes else "regular"))
        if "NORM" in codes:
            qtcs.append(value_of(found, "QTc Fridericia"))
    assert np.mean(right) >= 0.95
    assert 390 <= np.nanmedian(qtcs) <= 415
