"""The page in a real browser: no word of the table's heads is broken, whatever the width."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_report_worked_examples import assessed, cases

from bedside.reports.page import page


@pytest.mark.slow
@pytest.mark.parametrize("width", [700, 420])
def test_heads_of_the_findings_stay_whole_and_nothing_overflows(tmp_path: Path, width: int) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: sudo apt-get install chromium")
    file = tmp_path / "report.html"
    file.write_text(page(assessed(cases("worked_examples.yaml")[3])), encoding="utf-8")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": width, "height": 900})
        shown.goto(file.as_uri())
        lines = shown.evaluate(
            "[...document.querySelectorAll('th')].map(th => Math.round(th.getBoundingClientRect().height / parseFloat(getComputedStyle(th).lineHeight)))"
        )
        overflow = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()
    assert overflow <= 0
    assert width <= 640 or set(lines) == {1}
