"""The command line: one Typer app; each command is a thin wrapper over a library function."""

from bedside.cli import building, data, phone, reports, safety, using
from bedside.cli.shared import app, main

__all__ = ["app", "building", "data", "main", "phone", "reports", "safety", "using"]
