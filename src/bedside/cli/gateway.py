"""The gateway: write its settings, check them, serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bedside.cli.shared import app, err, escape, out, share_processor

PANEL = "The gateway"

gateway = typer.Typer(no_args_is_help=True, help="Write and check the settings of a gateway.")
app.add_typer(gateway, name="gateway", rich_help_panel=PANEL)

SettingsFile = Annotated[Path, typer.Argument(help="Settings file of a gateway.", show_default=False)]


@app.command(rich_help_panel=PANEL)
def serve(
    release: Annotated[
        Path | None, typer.Option("--release", help="Release folder to serve on this machine, without keys.", show_default=False)
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="Settings file, as `bedside gateway init` writes one.", show_default=False)
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="With --release: address to listen on; 127.0.0.1 by default.", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(help="With --release: port to listen on; 8080 by default.", show_default=False)] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="With --release: folder for the audit log; gateway-state by default.", show_default=False),
    ] = None,
) -> None:
    """Serve models with an OpenAI-compatible API, the safety core in front of them; with --settings also keys and the console."""
    share_processor()
    from bedside.server.app import serve as serve_gateway
    from bedside.server.settings import load_settings, local_settings

    if (release is None) is (settings is None):
        raise typer.BadParameter("give either --release DIR or --settings FILE")
    if settings is not None:
        if (host, port, state) != (None, None, None):
            raise typer.BadParameter("--host, --port and --state go with --release; of a settings file they are keys")
        serve_gateway(load_settings(settings))
        return
    assert release is not None
    name = release.resolve().parent.name
    local = local_settings(release, name=name, host=host or "127.0.0.1", port=8080 if port is None else port, state=state)
    if not local.listen.is_local:
        err.print("[yellow]warning:[/] other machines reach this address, in plain text and without a key; use --settings for that")
    serve_gateway(local)


@gateway.command("init")
def gateway_init(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("gateway.yaml"),
    release: Annotated[Path, typer.Option(help="Release folder that it is to serve.")] = Path("runs/clinic-line/release"),
    practice: Annotated[Path | None, typer.Option(help="Practice file.", show_default=False)] = None,
) -> None:
    """Write a settings file to start from, with every part explained."""
    from bedside.server.settings import load_settings, write_example

    write_example(file, release, practice)
    loaded = load_settings(file)
    out.print(f"{file}: serves {', '.join(engine.serves_model for engine in loaded.engines)}", highlight=False)
    out.print(
        f"Next: bedside keys create booking-page --scope understand --settings {file}, then bedside serve --settings {file}",
        highlight=False,
    )


@gateway.command("check")
def gateway_check(file: SettingsFile) -> None:
    """Check a settings file; all faults are shown at once with their lines. Nothing is opened."""
    from bedside.server.settings import load_settings

    loaded = load_settings(file)
    listen = loaded.listen
    out.print(f"{file}: listens at {listen.host}:{listen.port} {'with TLS 1.3' if listen.tls else 'without TLS'}", highlight=False)
    for engine in loaded.engines:
        place = engine.release if engine.kind == "embedded" else engine.url
        out.print(f"  {engine.name} serves {engine.serves_model} ({engine.kind}: {escape(str(place))})", highlight=False)
    out.print(f"  keys {'are' if loaded.security.require_keys else 'are not'} asked; state in {escape(str(loaded.state))}", highlight=False)
    out.print(f"Next: bedside serve --settings {file}", highlight=False)


@gateway.command("schema")
def gateway_schema() -> None:
    """Print the JSON Schema of a settings file, for editors."""
    from bedside.server.settings import settings_schema

    print(json.dumps(settings_schema(), indent=2))
