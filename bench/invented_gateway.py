"""An invented practice's gateway to look at: people, a release, documents, and a morning's calls. Tests and the pictures of the manual use it.

Nobody here exists; telephone numbers are of the blocks that are kept for fiction.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from uuid import uuid4

import yaml

from bedside import __version__
from bedside.engine.contract import ChatContract
from bedside.phone.call.dialogue import Setting
from bedside.phone.call.text import text_call
from bedside.phone.line import Line, LineSettings
from bedside.phone.practice import read_practice
from bedside.release.build import CARD, MANIFEST, MODEL, FileEntry, Manifest
from bedside.server.database import Database
from bedside.server.keys import KeyStore, Scope
from bedside.server.people import People, Role
from bedside.server.settings import GatewaySettings, load_settings
from bedside.workspace.audit import AuditLog
from bedside.workspace.files import sha256_file, write_json

PRACTICE = Path(__file__).parent.parent / "practices" / "wattle-street.yaml"
PASSWORD = "wattle banksia grevillea boronia"
PEOPLE = {"june": Role.reception, "amelia": Role.clinician, "sam": Role.admin}
"""Logins and their roles; all have `PASSWORD`."""
CALLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("0491570156", ("what time do you close on friday", "no that's all thanks")),
    ("0491570157", ("dad's got really bad chest pain and he's gone all sweaty",)),
    ("0491570158", ("can i get in with doctor nguyen on thursday", "0")),
    ("0491570159", ("i need a repeat script for coversyl", "/0")),
    ("", ("hello is anyone there", "", "")),
)
"""Calling numbers, and what is said or pressed."""
DOCUMENT = """# Cold chain

## Fridge alarms

If the vaccine fridge alarm sounds, the nurse on duty checks the logger and writes the time and the temperature into the cold chain book.
Vaccines that were outside 2 to 8 degrees are quarantined in the fridge and marked "do not use".
The practice manager reports the breach to the state immunisation unit on the same day.

## Deliveries

Vaccines are unpacked within ten minutes of their delivery. The receptionist calls the nurse as soon as the courier is at the desk.
"""
CARD_TEXT = """---
license: Apache-2.0
---

# {name}

The untuned base model, to look at the console with. **Not a medical device. Not for clinical use without validation.**

| measure | value |
|---|---:|
| longest prompt and answer | {length} |
"""
REPORT_TEXT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>
<style>body { font: 16px sans-serif; margin: 2rem } b { color: #0a6560 }</style></head>
<body><h1>Evaluation of the base model</h1><p>Exact match <b>0.155</b>. Not a medical device. Not for clinical use without validation.</p></body></html>
"""


def invented_release(folder: Path, gguf: Path, contract: ChatContract, name: str = "base-model") -> Path:
    """A release of a model file as it is, with a card and a report; the folder.

    Args:
        folder: made; must not exist.
        gguf: the model; linked where the file system can, copied otherwise.
        contract: how it is asked.
    """
    folder.mkdir(parents=True)
    try:
        os.link(gguf, folder / MODEL)
    except OSError:
        shutil.copy(gguf, folder / MODEL)
    contract.save(folder)
    (folder / CARD).write_text(CARD_TEXT.format(name=name, length=contract.max_length), encoding="utf-8")
    (folder / "evaluation.html").write_text(REPORT_TEXT, encoding="utf-8")
    files = {path.name: FileEntry(sha256=sha256_file(path), bytes=path.stat().st_size) for path in sorted(folder.iterdir())}
    made = Manifest(name=name, kind="Q4_1", date="2026-11-22", bedside=__version__, contract=contract.hash, files=files)
    write_json(folder / MANIFEST, made.model_dump(mode="json"))
    return folder


def invented_settings(
    folder: Path, releases: Sequence[tuple[str, Path]], *, phone: str | None = None, index: Path | None = None
) -> GatewaySettings:
    """The settings of a gateway with a console that keeps everything in `folder`, written there as `gateway.yaml`.

    Args:
        folder: of the gateway; exists.
        releases: engines by name, with their release folders; none: one engine on a server that is not there.
        phone: WebSocket address of a phone line.
        index: index of documents.
    """
    nowhere = {"name": "elsewhere", "kind": "openai", "url": "http://127.0.0.1:9", "model": "none"}
    settings = {
        "listen": {"port": 0},
        "engines": [{"name": name, "release": str(release.resolve())} for name, release in releases] or [nowhere],
        "practice": str(PRACTICE.resolve()),
        "scope": {"name": "Wattle Street Family Practice"},
        "security": {"console": True},
        "phone": {"data": "phone-data", **({"stream": phone} if phone else {})},
        "answers": {"index": str(index.resolve()) if index else None},
    }
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return load_settings(path)


def furnish(settings: GatewaySettings) -> None:
    """Add the people, two keys, and the morning's calls."""
    settings.state.mkdir(parents=True, exist_ok=True)
    audit = AuditLog(settings.audit_folder)
    store = Database(settings.database_url)
    people, keys = People(store, audit), KeyStore(store, audit)
    for login, role in PEOPLE.items():
        people.add(login, role, PASSWORD)
    keys.create("practice-software", [Scope.triage, Scope.interactions], 600, None, "sam")
    keys.create("monitoring", [Scope.metrics], None, dt.datetime.now(dt.UTC) + dt.timedelta(days=90), "sam")
    store.close()
    if settings.phone.data is not None:
        invented_calls(settings.phone.data)


def invented_calls(folder: Path, calls: Sequence[tuple[str, Sequence[str]]] = CALLS) -> list[str]:
    """Hold calls through the real line, typed, and keep what a line keeps of them; their ids.

    Args:
        folder: the line's data folder.
        calls: calling numbers, and what is said or pressed.
    """
    # Each event of the log comes seven seconds after the one before, so that calls have a length.
    began, steps = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=20), count()
    audit = AuditLog(folder / "audit", lambda: began + dt.timedelta(seconds=7 * next(steps)))
    line = Line(read_practice(PRACTICE), LineSettings(folder, voice="espeak", workers=1))
    line.open_day()
    names = []
    (folder / "transcripts").mkdir(mode=0o700, exist_ok=True)
    for caller, said in calls:
        name = uuid4().hex
        transcript = text_call(
            Setting(line.practice, line.now, caller),
            line.desk(name, caller),
            said,
            lambda words: None,
            audit=lambda event, facts, name=name: audit.append(event, call=name, **facts),
        )
        write_json(folder / "transcripts" / f"{name}.json", transcript.as_json())
        names.append(name)
    line.database.close()
    return names


@contextmanager
def running(settings: Path) -> Iterator[str]:
    """A gateway in a process of its own; its address."""
    program = (
        "import sys; from pathlib import Path; from bedside.server.app import serve; from bedside.server.settings import load_settings; "
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program + "serve(load_settings(Path(sys.argv[1])))", str(settings)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(20)
