"""The command line: one Typer app; each command is a thin wrapper over a library function."""

from bedside.cli import access, answers, building, data, gateway, operations, phone, reports, safety, using
from bedside.cli.shared import app, main

__all__ = ["access", "answers", "app", "building", "data", "gateway", "main", "operations", "phone", "reports", "safety", "using"]
