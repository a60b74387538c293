from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from datetime import datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge.device_thresholds import device_thresholds, threshold
from bedside.reports.measure import measure
from bedside.reports.measure.abpm import Sleep, measure_blood_pressure
from bedside.reports.measure.cgm import gmi_mmol_per_mol, gmi_percent, low_episodes, measure_cgm, percent_active, profile, ranges, readings
from bedside.reports.measure.oximetry import measure_oximetry
from bedside.reports.measure.spirometry import measure_spirometry, severity
from bedside.reports.model import DiagnosticReport, Finding, Person, Signal, Span
from bedside.reports.plots import plots

CGM = Path(os.environ.get("BEDSIDE_DATA", "../shared/data")) / "cgm_exports"
HERE = Span(file="invented")
START = datetime(2026, 3, 1)


def series(name: str, values, unit: str, minutes, start=START) -> Signal:
    return Signal(name=name, values=np.asarray(values, float), unit=unit, times=np.asarray(minutes, float) * 60, start=start, source=HERE)


def values_of(found) -> dict[str, float]:
    return {finding.name: finding.value for finding in found.findings if finding.value is not None}


def codes_of(found) -> set[str]:
    return {note.code for note in found.quality}


# Glucose sensors


def sensor(values, unit: str = "mmol/L", step: float = 5) -> Signal:
    return series("glucose", values, unit, np.arange(len(values)) * step)


@pytest.mark.parametrize(("mmol", "percent", "ifcc"), [(7.0, 6.33, 45.7), (8.6, 7.02, 53.2), (10.0, 7.62, 59.8)])
def test_gmi_gives_the_published_values(mmol, percent, ifcc):
    assert gmi_percent(mmol * 18.0156) == pytest.approx(percent, abs=0.011)
    assert gmi_mmol_per_mol(mmol) == pytest.approx(ifcc, abs=0.06)


@pytest.mark.skipif(not CGM.exists(), reason=f"no CGM exports at {CGM}; set BEDSIDE_DATA")
def test_metrics_are_those_of_the_reference_implementation():
    runs = {
        (run["method"], json.dumps(run["kwargs"])): run["results"]
        for run in json.loads((CGM / "expected_metrics_R_iglu.json").read_text())["runs"]
    }
    people: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    with (CGM / "example_data_5_subject.csv").open() as rows:
        for row in csv.DictReader(rows):
            people[row["id"]].append((datetime.fromisoformat(row["time"]), float(row["gl"])))
    for number, (_, rows) in enumerate(sorted(people.items())):
        rows.sort()
        minutes = [(at - rows[0][0]).total_seconds() / 60 for at, _ in rows]
        signal = series("glucose", [value for _, value in rows], "mg/dL", minutes, rows[0][0])
        found, key = readings(signal), str(number)
        shares = ranges(found)
        expected = {
            "in_range_percent": ("in_range_70_180", shares.target),
            "below_percent": ("below_70", shares.low + shares.very_low),
            "above_percent": ("above_180", shares.high + shares.very_high),
            "active_percent": ("active_percent", percent_active(found)),
            "gmi": ("GMI", gmi_percent(float(found.values.mean()))),
            "cv_glu": ("CV", 100 * float(found.values.std(ddof=1) / found.values.mean())),
        }
        for method, (column, got) in expected.items():
            assert got == pytest.approx(runs[method, "{}"][column][key], abs=0.5 if method != "gmi" else 0.01), (method, key)
        episodes = runs["episode_calculation", "{}"]
        total = next(
            episodes["total_episodes"][place]
            for place, level in episodes["level"].items()
            if level == "lv1" and episodes["type"][place] == "hypo" and episodes["id"][place] == f"Subject {number + 1}"
        )
        assert len(low_episodes(found, 70)) == pytest.approx(total, abs=0)
        # The same readings, converted by another system, count the same.
        converted = ranges(readings(signal.model_copy(update={"values": signal.values / 18.0156, "unit": "mmol/L"})))
        assert converted.target == pytest.approx(shares.target, abs=1e-6)


def test_limits_belong_to_the_target_and_levels_add_up():
    found = ranges(readings(sensor([2.9, 3.0, 3.8, 3.9, 10.0, 10.1, 13.9, 14.0])))
    assert (found.very_low, found.low, found.target, found.high, found.very_high) == (12.5, 25, 25, 25, 12.5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.floats(-50, 600), st.just(float("nan"))), max_size=200), st.sampled_from(["mmol/L", "mg/dL"]))
def test_any_readings_give_shares_that_sum_to_all_or_no_numbers(values, unit):
    got = values_of(measure_cgm(DiagnosticReport(kind="glucose", format="x", signals=(sensor(values, unit),))))
    if got:
        assert got["Time in range"] + got["Time below range"] + got["Time above range"] == pytest.approx(100, abs=0.21)


def test_few_days_an_inactive_sensor_and_compression_are_told_first():
    night = np.full(288, 6.0)
    night[30:38] = 3.2
    found = measure_cgm(DiagnosticReport(kind="glucose", format="x", signals=(sensor(night),)))
    assert {"too_short", "compression"} <= codes_of(found)
    assert "1 of at least 15 minutes" in next(finding.text for finding in found.findings if finding.name == "Low glucose episodes")
    sparse = series("glucose", np.full(600, 7.0), "mmol/L", np.concatenate([np.arange(300) * 5, 20_000 + np.arange(300) * 5]))
    found = measure_cgm(DiagnosticReport(kind="glucose", format="x", signals=(sparse,)))
    assert found.quality[0].code == "inactive" and found.quality[0].grave


def test_profile_follows_the_clock():
    minutes = np.arange(0, 3 * 1440, 15)
    centiles = profile(readings(series("glucose", 6 + 3 * (minutes % 1440 >= 720), "mmol/L", minutes)))[1]
    assert centiles[2][10] == 6 and centiles[2][-10] == 9


# Blood pressure


def cuff(hours, systolic, diastolic, **more) -> DiagnosticReport:
    minutes = np.asarray(hours) * 60
    signals = (series("systolic", systolic, "mm[Hg]", minutes), series("diastolic", diastolic, "mm[Hg]", minutes))
    return DiagnosticReport(kind="blood_pressure", format="x", signals=signals, **more)


def whole_day(night_systolic: float = 110) -> DiagnosticReport:
    hours = np.concatenate([np.arange(7, 22, 0.5), np.arange(22, 31, 1)])
    systolic = np.where(hours >= 22, night_systolic, 130.0)
    return cuff(hours, systolic, np.where(hours >= 22, 65.0, 80.0))


def test_a_day_of_readings_gives_means_by_the_diary_and_the_fall_at_night():
    found = measure_blood_pressure(whole_day(), Sleep.from_diary(time(22), time(7)))
    got = values_of(found)
    assert (got["Day systolic mean"], got["Night systolic mean"], got["Day diastolic mean"]) == (130, 110, 80)
    assert got["Dipping"] == pytest.approx(15.4)
    assert "no_diary" not in codes_of(found) and not any(note.grave for note in found.quality)
    assert got["Systolic load"] == 0


@pytest.mark.parametrize(("night", "pattern"), [(110, "dipper"), (125, "non-dipper"), (135, "reverse"), (100, "extreme dipper")])
def test_dipping_patterns(night, pattern):
    found = measure_blood_pressure(whole_day(night))
    assert next(finding.text for finding in found.findings if finding.name == "Dipping pattern") == pattern
    assert "no_diary" in codes_of(found)


def test_too_few_readings_and_failed_ones_are_told():
    hours = np.arange(8, 20, 1.0)
    report = cuff(hours, [130.0] * 6 + [float("nan")] * 6, [80.0] * 12)
    found = measure_blood_pressure(report)
    assert found.quality[0].code == "few_readings" and found.quality[0].grave
    assert values_of(found)["Valid readings"] == 50


def test_home_readings_leave_the_first_day_out_and_need_five_more():
    hours = [day * 24 + hour for day in range(7) for hour in (8, 20)]
    systolic = [170.0, 170.0] + [130.0, 134.0] * 6
    found = measure_blood_pressure(cuff(hours, systolic, [80.0] * 14, comments=("Irregular heartbeat symbol shown",)))
    assert values_of(found)["Home systolic mean"] == 132
    assert codes_of(found) == {"irregular_pulse"}
    short = measure_blood_pressure(cuff(hours[:8:2], systolic[:8:2], [80.0] * 4))
    assert {"few_readings", "one_part_of_day"} == codes_of(short)


# Spirometry


def blown(sex="male", **values) -> DiagnosticReport:
    names = {"ratio": "FEV1/FVC"}
    findings = []
    for name, value in values.items():
        label = " ".join(names.get(part, part) for part in name.split("__"))
        findings.append(
            Finding(name=label, text=f"{label} {value}", value=value if isinstance(value, float) else None, unit="", source=HERE)
        )
    return DiagnosticReport(kind="spirometry", format="x", findings=tuple(findings), patient=Person(sex=sex))


def pattern_of(found) -> str:
    return next(finding.text for finding in found.findings if finding.name == "Pattern")


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        ({"FEV1__z": -2.6, "FVC__z": -0.5, "ratio__z": -2.9}, "obstruction"),
        ({"FEV1__z": -2.6, "FVC__z": -2.5, "ratio__z": 0.1}, "possible restriction"),
        ({"FEV1__z": -1.9, "FVC__z": -1.2, "ratio__z": -1.1}, "FEV1 low with normal ratio"),
        ({"FEV1__z": -3.0, "FVC__z": -2.0, "ratio__z": -2.2}, "obstruction with low FVC"),
        ({"FEV1__z": 0.1, "FVC__z": 0.2, "ratio__z": -0.9}, "within normal limits"),
    ],
)
def test_patterns_of_the_technical_standard(values, pattern):
    assert pattern_of(measure_spirometry(blown(FEV1=2.0, FVC=3.0, **values))).startswith(pattern)


def test_a_ratio_under_the_fixed_limit_and_within_its_own_is_no_obstruction():
    found = measure_spirometry(blown(FEV1=1.9, FVC=2.8, ratio=0.68, ratio__z=-0.9, FEV1__z=-0.4, FVC__z=0.1))
    assert pattern_of(found) == "within normal limits" and "fixed_ratio" in codes_of(found)


def test_a_response_is_a_share_of_predicted_and_quality_stands_first():
    found = measure_spirometry(
        blown(
            FEV1=2.0,
            FEV1__pred=3.0,
            FEV1__LLN=2.4,
            FEV1__post=2.31,
            FVC=3.5,
            FVC__pred=4.0,
            FVC__LLN=3.2,
            FEV1__quality="grade D",
            sex="female",
        )
    )
    got = values_of(found)
    assert got["FEV1 change after bronchodilator"] == pytest.approx(10.3)
    assert next(finding.text for finding in found.findings if finding.name == "Bronchodilator response").startswith("over 10 %")
    assert got["FEV1Q"] == 5
    assert got["FEV1 z-score"] == pytest.approx(-2.74, abs=0.01)
    assert found.quality[0].code == "poor_session" and found.quality[0].grave


def test_severity_follows_the_standards_z_scores():
    assert [severity(z) for z in (-1.6, -2.0, -3.0, -4.2)] == ["normal", "mild", "moderate", "severe"]


def test_without_limits_there_is_no_pattern():
    found = measure_spirometry(blown(FEV1=2.0, FVC=3.0))
    assert not any(finding.name == "Pattern" for finding in found.findings) and "no_limits" in codes_of(found)


# Oximetry


def test_desaturations_are_counted_once_and_artefacts_left_out():
    values = np.full(6 * 3600, 96.0)
    for at in range(600, 6 * 3600, 1200):
        values[at : at + 40] = [95, 94, 93, *[91] * 34, 93, 94, 95]
    values[5000:5010] = 20
    found = measure_oximetry(
        DiagnosticReport(kind="oximetry", format="x", signals=(Signal(name="spo2", values=values, unit="%", rate=1, source=HERE),))
    )
    got = values_of(found)
    assert got["SpO2 baseline"] == 96 and got["SpO2 lowest"] == 91
    assert got["Desaturations of 3 % an hour"] == pytest.approx(3, abs=0.1)


def test_a_loose_probe_is_told():
    values = np.where(np.arange(7200) % 10 < 4, 96.0, 30.0)
    found = measure_oximetry(
        DiagnosticReport(kind="oximetry", format="x", signals=(Signal(name="SpO2", values=values, unit="%", rate=1, source=HERE),))
    )
    assert found.quality[0].code == "artefact" and found.quality[0].grave


# All of them


def test_a_report_of_nothing_measurable_measures_nothing():
    assert measure(DiagnosticReport(kind="laboratory", format="x")).findings == ()


def test_figures_are_self_contained_and_described():
    glucose = sensor(6 + 2 * np.sin(np.arange(4000) / 40))
    report = whole_day().model_copy(
        update={"signals": (*whole_day().signals, glucose), "findings": blown(FEV1__z=-2.0, FVC__z=-1.0, FEV1=2.0).findings}
    )
    drawn = plots(report)
    assert [plot.title for plot in drawn] == ["Ambulatory glucose profile", "Blood pressure", "Spirometry"]
    for plot in drawn:
        assert plot.svg.startswith("<svg") and 'role="img"' in plot.svg and "<desc>" in plot.svg
        assert "<script" not in plot.svg and plot.alternative


def test_thresholds_are_dated_facts_and_an_unknown_one_is_named():
    assert all(fact.source and fact.certainty for fact in device_thresholds())
    assert threshold("bp.home_systolic").high == 134
    with pytest.raises(KnowledgeError, match="nothing_such"):
        threshold("nothing_such")
    assert timedelta(days=threshold("cgm.days").low) == timedelta(days=14)
