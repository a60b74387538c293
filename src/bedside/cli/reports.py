"""Read what a device or laboratory reported, beside the patient's record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bedside.cli.shared import Threads, app, err, existing, open_release, out

PANEL = "Diagnostic reports"


@app.command(rich_help_panel=PANEL)
def report(
    file: Annotated[
        Path, typer.Argument(help="Report: HL7 v2, FHIR, GDT, DICOM, SCP-ECG, aECG, WFDB, CSV, XLSX, text, PDF.", show_default=False)
    ],
    patient: Annotated[
        Path | None, typer.Option("--patient", help="The patient's record: a FHIR bundle or YAML.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write findings, notes, quality, missing facts and summary as JSON.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page with plots here.", show_default=False)] = None,
    fhir: Annotated[
        Path | None,
        typer.Option("--fhir", help="Write each note as a preliminary FHIR Observation with its Provenance here.", show_default=False),
    ] = None,
    ask: Annotated[str | None, typer.Option("--ask", help="Answer a question about the report, with pointers.", show_default=False)] = None,
    release: Annotated[
        Path | None, typer.Option("--release", help="Release whose model words the summary; a template does without.", show_default=False)
    ] = None,
    threads: Threads = None,
) -> None:
    """Keep what a device states, and add what the patient's record changes about it, each line with its source. For clinicians."""
    from bedside.reports import assistant
    from bedside.workspace.files import written_whole

    engine = open_release(release, threads) if release else None
    found = assistant.report(existing(file), existing(patient) if patient else None, engine=engine)
    if html:
        from bedside.reports.page import page
        from bedside.reports.plots import plots

        drawn = [plot for one in found.context.reports for plot in plots(one)]
        with written_whole(html) as partial:
            partial.write_text(page(found, drawn), encoding="utf-8")
    if fhir:
        from bedside.reports.fhir_out import bundle

        with written_whole(fhir) as partial:
            partial.write_text(json.dumps(bundle(found), ensure_ascii=False, indent=1), encoding="utf-8")
    if ask is not None:
        from bedside.reports.questions import answer

        out.print(answer(ask, found).text, highlight=False, markup=False)
    elif as_json:
        print(json.dumps(assistant.as_json(found), ensure_ascii=False))
    else:
        from bedside.reports.terminal import show

        show(found)
    for written in (html, fhir):
        if written:
            err.print(f"written: {written}", highlight=False)
