"""One practice with an empty diary, and a fresh copy of it for each test."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
from clinic_by_phone import EXAMPLE, MONDAY, Clinic

from bedside.phone.database import Database
from bedside.phone.patients import Patient
from bedside.phone.practice import Practice, read_practice


@pytest.fixture(scope="session")
def practice() -> Practice:
    return read_practice(EXAMPLE)


@pytest.fixture(scope="session")
def seeded(practice: Practice, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with an empty diary of thirty days and three patients."""
    path = tmp_path_factory.mktemp("seeded") / "clinic.sqlite"
    clinic = Clinic(practice, Database(path), MONDAY.replace(tzinfo=practice.zone))
    clinic.diary.seed()
    brown = Patient("p1", "Brown", "Mary", dt.date(1962, 3, 3), mobile="0491570006", street="12 Banksia Lane", postcode="2999")
    nguyen = Patient("p2", "Nguyen", "Liem", dt.date(1985, 6, 30), mobile="0491570157", medicare="29503417911")
    clinic.patients.add(brown)
    clinic.patients.add(nguyen)
    clinic.patients.add(Patient("p3", "Brown", "Joan", dt.date(1938, 7, 7), street="3 Wattle Street"))
    clinic.requests.set_result("p1", "full blood count", "not_seen", "lab")
    clinic.requests.set_result("p2", "full blood count", "seen", "lab")
    clinic.database.engine.dispose()
    return path


@pytest.fixture
def clinic(practice: Practice, seeded: Path, tmp_path: Path) -> Clinic:
    path = tmp_path / "clinic.sqlite"
    shutil.copy(seeded, path)
    return Clinic(practice, Database(path), MONDAY.replace(tzinfo=practice.zone))
