"""What keeps a release and a gateway safe: the owner's signature, backup and restore."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedside.cli.shared import app, err, escape, out

if TYPE_CHECKING:
    from bedside.server.backup import BackupManifest

PANEL = "The gateway"

release = typer.Typer(no_args_is_help=True, help="Sign releases with a key of your own, so that nobody can change one unseen.")
app.add_typer(release, name="release", rich_help_panel="Make a release")

KeyFolder = Annotated[
    Path | None, typer.Option("--keys", help="Folder of your keys; BEDSIDE_KEYS or ~/.config/bedside by default.", show_default=False)
]


@release.command("key")
def release_key(folder: KeyFolder = None) -> None:
    """Make your key pair. With it `bedside run` signs every release that it builds."""
    from bedside.release import key_pair
    from bedside.release.keys import make_keys

    keys = key_pair(folder)
    signer = make_keys(keys.private, keys.public)
    out.print(f"private: {keys.private}   only you may read it; keep a copy off this machine", highlight=False)
    out.print(f"public:  {keys.public}   give it to whoever serves your releases", highlight=False)
    out.print(f"key {signer[:16]}", highlight=False)
    out.print("Next: bedside release sign runs/clinic-line/release", highlight=False)


@release.command("sign")
def release_sign(
    folder: Annotated[
        Path, typer.Argument(metavar="RELEASE", help="Release folder, such as runs/clinic-line/release.", show_default=False)
    ],
    keys: KeyFolder = None,
) -> None:
    """Check every byte of a release and sign it, by OpenSSF Model Signing. Nothing leaves this machine."""
    from bedside.release import key_pair, sign_release

    pair = key_pair(keys)
    with err.status("checking and signing"):
        signer = sign_release(folder, pair.private)
    out.print(f"{folder}: signed with key {signer[:16]}", highlight=False)
    out.print(f"Next: bedside verify {folder} --public-key {pair.public}", highlight=False)


@app.command(rich_help_panel=PANEL)
def backup(
    settings: Annotated[Path, typer.Option("--settings", help="Settings of the gateway.")] = Path("gateway.yaml"),
    archive: Annotated[
        Path | None, typer.Option("--out", help="The backup; bedside-backup-DATE-TIME.zip here by default.", show_default=False)
    ] = None,
) -> None:
    """Back up a gateway while it runs: database, audit log, settings, keys and certificates, in one file."""
    from bedside.server.backup import back_up

    target = archive or Path(f"bedside-backup-{datetime.now():%Y%m%d-%H%M%S}.zip")
    with err.status("backing up") as status:
        made = back_up(settings, target, lambda step: status.update(step))
    for path in made.left_out:
        out.print(f"[yellow]not in the backup:[/] {escape(path)}", highlight=False)
    size = sum(entry.bytes for entry in made.files.values())
    out.print(f"{target}: {len(made.files)} files, {size:,} bytes{_audited(made)}", highlight=False)
    out.print("It holds patients' data and keys: keep it encrypted, and on another machine.", highlight=False)
    out.print(f"Next: bedside restore {target} --to restored", highlight=False)
    if _tell_broken(made):
        raise typer.Exit(2)


@app.command(rich_help_panel=PANEL)
def restore(
    archive: Annotated[Path, typer.Argument(metavar="BACKUP", help="A file that `bedside backup` wrote.", show_default=False)],
    folder: Annotated[Path, typer.Option("--to", help="New folder for the settings and what lies beside them.", show_default=False)],
) -> None:
    """Put a backup into an empty place, once every byte of it was checked; nothing is overwritten."""
    from bedside.server.backup import restore as put_back

    with err.status("restoring") as status:
        restored = put_back(archive, folder, lambda step: status.update(step))
    made = restored.manifest
    out.print(f"restored to {folder} as it was on {made.made:%-d %B %Y at %H:%M} UTC{_audited(made)}", highlight=False)
    _tell_broken(made)
    for path in made.left_out:
        out.print(f"[yellow]was not in the backup:[/] {escape(path)}", highlight=False)
    out.print(f"Next: bedside serve --settings {restored.settings}", highlight=False)


def _audited(made: BackupManifest) -> str:
    return "".join(f", {name} up to entry {log.head[0]}" for name, log in made.audits.items())


def _tell_broken(made: BackupManifest) -> bool:
    """Say which audit logs were broken already when they were backed up; whether any was."""
    broken = {name: log.broken for name, log in made.audits.items() if log.broken}
    for name, where in broken.items():
        err.print(f"[bold red]the audit log {name} is broken[/] and was backed up as it is: {escape(where)}", highlight=False)
    return bool(broken)
