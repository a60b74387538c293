"""Who may use the gateway: API keys, people of the console, certificates of the clinic's network."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from bedside.cli.shared import app, err, escape, out

if TYPE_CHECKING:
    from bedside.server.keys import KeyInfo, KeyStore
    from bedside.server.people import People
    from bedside.server.settings import GatewaySettings
    from bedside.server.tls import Certificate

PANEL = "The gateway"

keys = typer.Typer(no_args_is_help=True, help="API keys: who may ask the gateway what, and how often.")
people = typer.Typer(no_args_is_help=True, help="People who may log in to the console.")
tls = typer.Typer(no_args_is_help=True, help="Certificates for the gateway in the clinic's own network.")
app.add_typer(keys, name="keys", rich_help_panel=PANEL)
app.add_typer(people, name="people", rich_help_panel=PANEL)
app.add_typer(tls, name="tls", rich_help_panel=PANEL)

SettingsFile = Annotated[Path, typer.Option("--settings", help="Settings of the gateway.")]
Which = Annotated[str, typer.Argument(metavar="KEY", help="The key's id or name.", show_default=False)]
Login = Annotated[str, typer.Argument(help="Small letters without accents, digits and . _ -", show_default=False)]
RoleName = Annotated[str, typer.Option("--role", help="reception, clinician or admin; each may do what those before it may.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder of the authority and its certificates.")]

_SETTINGS = Path("gateway.yaml")
_TLS = Path("tls")


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for, such as booking-page.", show_default=False)],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            help="chat, understand, triage, interactions, deidentify, embeddings, answers, metrics, or admin for all; may be repeated.",
            show_default=False,
        ),
    ],
    rate: Annotated[int | None, typer.Option(help="Requests in a minute; no limit by default.", show_default=False)] = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days until it expires; 0: never.")] = 365,
    settings: SettingsFile = _SETTINGS,
) -> None:
    """Make a key. It is written to standard output once, and cannot be shown again."""
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(days=days) if days else None
    _show_secret(*_keys(settings).create(name, scope, rate, expires, _by()))


@keys.command("list")
def list_keys(settings: SettingsFile = _SETTINGS) -> None:
    """List all keys, those that no longer work too. Secrets are never shown."""
    now = dt.datetime.now(dt.UTC)
    table = Table("id", "name", "scopes", "a minute", "expires", "last used", "state")
    for key in _keys(settings).list():
        state = "works" if key.works(now) else "revoked" if key.revoked else "expired"
        rate = str(key.rate_per_minute or "no limit")
        table.add_row(key.id, escape(key.name), ", ".join(sorted(key.scopes)), rate, _day(key.expires), _day(key.used), state)
    out.print(table)
    err.print("next: bedside keys rotate ID before a key expires, or bedside keys revoke ID at once when it leaked", highlight=False)


@keys.command("rotate")
def rotate_key(
    which: Which,
    overlap: Annotated[int, typer.Option("--overlap-hours", min=0, max=2160, help="How long the old secret still works.")] = 168,
    settings: SettingsFile = _SETTINGS,
) -> None:
    """Give a key a new secret, written to standard output once; the old one works on for a while, so that programs can change over."""
    _show_secret(*_keys(settings).rotate(which, _by(), dt.timedelta(hours=overlap)))


@keys.command("revoke")
def revoke_key(which: Which, settings: SettingsFile = _SETTINGS) -> None:
    """Stop a key for good: one by its id, or all of a name. Every gateway refuses it within five seconds."""
    count = _keys(settings).revoke(which, _by())
    out.print(f"{count} key{'s' if count > 1 else ''} revoked; gateways refuse {'them' if count > 1 else 'it'} within 5 s", highlight=False)


@people.command("add")
def add_person(login: Login, role: RoleName, settings: SettingsFile = _SETTINGS) -> None:
    """Add somebody. The password is asked for, or read as a line from standard input."""
    person = _people(settings).add(login, role, _password(), _by())
    out.print(f"{person.login} may log in as {person.role}", highlight=False)
    err.print("next: open /console of the gateway; bedside people password changes the password", highlight=False)


@people.command("list")
def list_people(settings: SettingsFile = _SETTINGS) -> None:
    """List everybody with a login."""
    table = Table("login", "role", "state", "since", "password set")
    for person in _people(settings).list():
        table.add_row(person.login, person.role, "may log in" if person.active else "disabled", _day(person.created), _day(person.changed))
    out.print(table)


@people.command("password")
def change_password(login: Login, settings: SettingsFile = _SETTINGS) -> None:
    """Set a password, which ends all sessions of that login and forgets its failed attempts. Asked for, or read from standard input."""
    _people(settings).change_password(login, _password(), _by())
    out.print(f"{escape(login)} has a new password; all sessions of that login ended", highlight=False)


@people.command("role")
def change_role(login: Login, role: RoleName, settings: SettingsFile = _SETTINGS) -> None:
    """Give somebody another role."""
    _people(settings).change_role(login, role, _by())
    out.print(f"{escape(login)} is {role} from the next request on", highlight=False)


@people.command("disable")
def disable_person(login: Login, settings: SettingsFile = _SETTINGS) -> None:
    """Let somebody in no more; their sessions end."""
    _people(settings).disable(login, _by())
    out.print(f"{escape(login)} may log in no more", highlight=False)
    err.print(f"next: bedside people enable {escape(login)} takes it back", highlight=False)


@people.command("enable")
def enable_person(login: Login, settings: SettingsFile = _SETTINGS) -> None:
    """Let somebody in again."""
    _people(settings).enable(login, _by())
    out.print(f"{escape(login)} may log in again", highlight=False)


@tls.command("init")
def init_tls(
    name: Annotated[str, typer.Option("--name", help="Whose authority it is, such as the practice's name.")],
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            help="Host name, with all below it, that it may vouch for beside .lan, .local, .internal, .home.arpa and private addresses.",
            show_default=False,
        ),
    ] = None,
    folder: Folder = _TLS,
) -> None:
    """Make a certificate authority for the clinic's own network."""
    from bedside.server.tls import make_ca

    _show_certificate(make_ca(folder, name, domain or ()))
    err.print(
        f"next: bedside tls issue gateway.lan --folder {escape(str(folder))}, and install ca.pem on the clinic's computers", highlight=False
    )


@tls.command("issue")
def issue_certificate(
    names: Annotated[list[str], typer.Argument(help="Host names and addresses by which browsers reach the gateway.", show_default=False)],
    days: Annotated[int, typer.Option(help="Days that it lasts.")] = 397,
    folder: Folder = _TLS,
) -> None:
    """Make a certificate and key for the gateway; one of the same first name is replaced."""
    from bedside.server.tls import issue

    made = issue(folder, names, days)
    _show_certificate(made)
    pair = f"{{certificate: {made.path}, key: {made.path.with_suffix('.key')}}}"
    err.print(f"next: write under `listen` of the gateway's settings: tls: {escape(pair)}", highlight=False)


@tls.command("show")
def show_certificate(file: Annotated[Path, typer.Argument(help="Certificate, such as tls/ca.pem.", show_default=False)]) -> None:
    """Show what a certificate is for, until when, and the fingerprint to compare where it is installed."""
    from bedside.server.tls import read_certificate

    _show_certificate(read_certificate(file))


def _show_certificate(certificate: Certificate) -> None:
    left = (certificate.ends - dt.datetime.now(dt.UTC)).days
    out.print(
        f"[bold]{escape(str(certificate.path))}[/]: {escape(certificate.subject)}, vouched for by {escape(certificate.issuer)}",
        highlight=False,
    )
    out.print(f"  for {escape(', '.join(certificate.names) or 'no names')}", highlight=False)
    out.print(f"  until {certificate.ends:%Y-%m-%d}, {left} days from now", highlight=False)
    out.print(f"  SHA-256 {certificate.fingerprint}", highlight=False)


def _show_secret(key: KeyInfo, secret: str) -> None:
    until = f"until {_day(key.expires)}" if key.expires else "until it is revoked"
    err.print(f"the key {key.id} ({escape(key.name)}) works {until}; keep it now, it cannot be shown again:", highlight=False)
    print(secret)
    err.print("next: send it as the header `Authorization: Bearer KEY`", highlight=False)


def _settings(path: Path) -> GatewaySettings:
    from bedside.server.settings import load_settings
    from bedside.workspace.files import disk_errors

    settings = load_settings(path)
    with disk_errors(settings.state):
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return settings


def _keys(path: Path) -> KeyStore:
    from bedside.server.database import Database
    from bedside.server.keys import KeyStore
    from bedside.workspace.audit import AuditLog

    settings = _settings(path)
    return KeyStore(Database(settings.database_url), AuditLog(settings.audit_folder))


def _people(path: Path) -> People:
    from bedside.server.database import Database
    from bedside.server.people import People
    from bedside.workspace.audit import AuditLog

    settings = _settings(path)
    return People(Database(settings.database_url), AuditLog(settings.audit_folder))


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


def _by() -> str:
    return f"command line, user {os.getuid()}"


def _day(at: dt.datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d}" if at else "never"
