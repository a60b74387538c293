"""The files that install a gateway fit the program: units, image, compose file, metrics and alerts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from bedside.cli import app
from bedside.server.metrics import Metrics
from bedside.server.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("bedside*"))


def command_fits(words: list[str]) -> None:
    """The program has the command and its options."""
    command: Any = typer.main.get_command(app)
    command.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    for started in re.findall(r"^ExecStart=/opt/bedside/bin/bedside (.*)$", text, re.MULTILINE):
        command_fits(started.split())
    if not shutil.which("systemd-analyze"):
        pytest.skip("apt install systemd")
    # The program is where an installation puts it, not where this test runs; all else is checked as it is.
    copies = [tmp_path / path.name for path in UNITS]
    for source, copy in zip(UNITS, copies, strict=True):
        copy.write_text(source.read_text(encoding="utf-8").replace("/opt/bedside/bin/bedside", "/bin/true"), encoding="utf-8")
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / unit.name], capture_output=True, text=True)
    assert [line for line in checked.stderr.splitlines() if "bedside" in line] == []


def test_the_service_is_locked_down() -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("apt install systemd")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=30", str(DEPLOY / "systemd" / "bedside.service")]
    checked = subprocess.run(command, capture_output=True, text=True)
    if "Unknown option" in checked.stderr or "unrecognized" in checked.stderr:
        pytest.skip("systemd-analyze 250 or later")
    assert checked.returncode == 0, checked.stdout.splitlines()[-1:] + checked.stderr.splitlines()


def test_the_image_copies_what_is_there_and_starts_what_exists() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    copied = [name for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert sorted(copied) == sorted(kept) and all((ROOT / name).exists() for name in copied)
    command_fits(yaml.safe_load(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[-1]))
    assert re.search(r"^USER 10001$", text, re.MULTILINE), "it does not run as root"


def test_the_example_settings_of_the_compose_file_load() -> None:
    settings = load_settings(DEPLOY / "compose" / "gateway.example.yaml")
    assert settings.database_url.startswith("postgresql+pg8000://") and settings.integrity.public_key is not None


def test_each_gateway_of_the_compose_file_has_a_state_of_its_own_and_the_database_in_common() -> None:
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    gateways = [service for name, service in compose["services"].items() if name.startswith("gateway")]
    mounts = [dict(reversed(mount.split(":")[:2]) for mount in service["volumes"]) for service in gateways]
    assert len({mount["/var/lib/bedside"] for mount in mounts}) == len(gateways) == 2
    assert all("database" in service["depends_on"] and service["read_only"] for service in gateways)
    assert "ports" not in compose["services"]["database"]
    named = set(compose["volumes"])
    assert {mount["/var/lib/bedside"] for mount in mounts} < named


def test_every_alert_is_about_a_metric_that_the_gateway_has() -> None:
    described = (ROOT / "src" / "bedside" / "server" / "metrics.py").read_text(encoding="utf-8")
    has = set(re.findall(r"^# TYPE (\w+)", Metrics().text().decode(), re.MULTILINE)) | {"up"}
    has |= set(re.findall(r'GaugeMetricFamily\("(\w+)"', described))
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    for rule in alerts["groups"][0]["rules"]:
        for name in re.findall(r"\b(bedside_\w+)", rule["expr"]):
            assert re.sub(r"_(bucket|total)$", "", name) in {re.sub("_total$", "", one) for one in has}, rule["alert"]


def test_prometheus_reads_the_gateways_of_the_compose_file() -> None:
    read = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    gateways = [service for name, service in compose["services"].items() if name.startswith("gateway")]
    names = {f"{alias}:8443" for service in gateways for alias in service["networks"]["inside"]["aliases"]}
    assert set(read["scrape_configs"][0]["static_configs"][0]["targets"]) == names
    settings = load_settings(DEPLOY / "compose" / "gateway.example.yaml")
    assert {name.partition(":")[0] for name in names} <= set(settings.listen.hosts), "the gateways answer to these names"
