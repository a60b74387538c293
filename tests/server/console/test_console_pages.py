"""The console's pages over a real gateway: who may see what, what is shown, what is logged, and what cannot be done."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from bench.invented_gateway import PASSWORD, PEOPLE
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.safety.medicare import CHECKS
from bedside.server.app import make_app
from bedside.server.console.render import PLACES
from bedside.server.gateway import Gateway
from bedside.server.people import Role
from bedside.workspace.audit import AuditLog

LogIn = Callable[[str], TestClient]

EVERY_PAGE = [place for places in PLACES.values() for place in places]
NOTICE = "Not a medical device. Not for clinical use without validation."


class Outline(HTMLParser):
    """What of a page a screen reader needs."""

    _VOID = frozenset({"meta", "link", "input", "br", "hr", "img", "path", "rect", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.unlabelled: list[str] = []
        self.inline: list[str] = []
        self.pointed: list[str] = []
        self._for: set[str] = set()
        self._waiting: dict[str, str] = {}
        self.feed(text)
        self.unlabelled += [tag for name, tag in self._waiting.items() if name not in self._for]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.inline += [name for name in found if name == "style" or re.match(r"on[a-z]+$", name)]
        if tag in ("script", "style") and "src" not in found:
            self.inline.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        self.pointed += found.get("aria-labelledby", "").split() + ([found["for"]] if "for" in found else [])
        if tag == "label" and "for" in found:
            self._for.add(found["for"])
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("input", "select", "textarea", "meter") and found.get("type") != "hidden" and "aria-hidden" not in found:
            self._check_label(tag, found)
        if tag not in self._VOID:
            self.open.append(tag)

    def _check_label(self, tag: str, found: dict[str, str]) -> None:
        if "label" not in self.open and "aria-label" not in found:
            if "id" in found:
                self._waiting[found["id"]] = f"{tag} {found['id']}"
            else:
                self.unlabelled.append(f"{tag} {found.get('name')}")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass


@pytest.mark.parametrize("login", PEOPLE)
@pytest.mark.parametrize("place", EVERY_PAGE, ids=lambda place: place.label)
def test_pages_open_for_their_roles_and_read_well(logged_in: LogIn, login: str, place) -> None:  # type: ignore[no-untyped-def]
    answer = logged_in(login).get(place.path)
    assert answer.status_code == (200 if PEOPLE[login].covers(place.role) else 403), answer.text
    assert NOTICE in answer.text and answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in answer.headers["content-security-policy"] and "no-store" in answer.headers["cache-control"]
    outline = Outline(answer.text)
    assert not outline.inline and not outline.unlabelled
    assert outline.headings.count(1) == 1 and '<main id="main"' in answer.text
    assert len(set(outline.ids)) == len(outline.ids) and set(outline.pointed) <= set(outline.ids)
    shown = set(re.findall(r'<li><a href="(/console[a-z/]*)"', answer.text))
    assert shown == {one.path for one in EVERY_PAGE if PEOPLE[login].covers(one.role)}


def test_strangers_are_led_to_the_login_and_back(stranger: TestClient) -> None:
    for place in EVERY_PAGE:
        answer = stranger.get(place.path)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/console/login?next=")
    page = stranger.get(stranger.get("/console/triage").headers["location"]).text
    assert 'name="next" value="/console/triage"' in page
    wrong = stranger.post("/console/login", data={"login": "sam", "password": "not the password", "next": "/console/triage"})
    assert wrong.status_code == 401 and "The login or the password is wrong" in wrong.text and not wrong.cookies
    right = stranger.post("/console/login", data={"login": "sam", "password": PASSWORD, "next": "/console/triage"})
    assert right.headers["location"] == "/console/triage"
    csrf = re.findall(r'name="csrf" value="([0-9a-f]+)"', stranger.get("/console").text)[0]
    assert stranger.post("/console/logout", data={"csrf": csrf}).headers["location"] == "/console/login"
    assert stranger.get("/console").status_code == 303


def test_the_login_leads_nowhere_else(gateway: Gateway) -> None:
    client = TestClient(make_app(gateway), base_url="http://localhost", follow_redirects=False)
    answer = client.post("/console/login", data={"login": "june", "password": PASSWORD, "next": "//example.com/console"})
    assert answer.headers["location"] == "/console"


def test_a_form_without_its_token_changes_nothing(gateway: Gateway, logged_in: LogIn) -> None:
    sam = logged_in("sam")
    refused = sam.post("/console/people", data={"login": "eve", "role": "admin", "password": PASSWORD}, headers={"X-CSRF-Token": "0" * 64})
    assert refused.status_code == 403 and "<h1>" in refused.text
    assert "eve" not in {person.login for person in gateway.people.list()}


def test_triage_marks_the_words_that_decided_and_escapes_the_rest(logged_in: LogIn) -> None:
    answer = logged_in("june").post("/console/triage", data={"text": "dad's got <b>chest pain</b> and he's gone all sweaty"})
    assert answer.status_code == 200
    assert "<mark>" in answer.text and "chest pain</mark>" in answer.text and "<b>chest" not in answer.text
    assert "E000" in answer.text and "RF01" in answer.text and "What would have to be asked" in answer.text


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300))
def test_any_words_give_a_page(logged_in: LogIn, text: str) -> None:
    for path in ("triage", "medicines"):
        answer = logged_in("amelia").post(f"/console/{path}", data={"text": text.encode(errors="replace").decode()})
        assert answer.status_code == 200 and not Outline(answer.text).inline


def test_medicines_are_checked_together_and_unknown_ones_are_never_safe(logged_in: LogIn) -> None:
    amelia = logged_in("amelia")
    severe = amelia.post("/console/medicines", data={"text": "warfarin, nurofen"}).text
    assert "major" in severe and "mechanism" in severe and "source" in severe and "ibuprofen" in severe
    unknown = amelia.post("/console/medicines", data={"text": "warfarin\nzorblaxin"}).text
    assert "Unknown is not safe" in unknown and "zorblaxin" in unknown
    many = amelia.post("/console/medicines", data={"text": ",".join(f"thing{number}" for number in range(40))})
    assert many.status_code >= 400 and "at most 20" in many.text


@pytest.mark.parametrize("check", CHECKS)
def test_every_medicare_check_has_a_form_that_answers(logged_in: LogIn, check: str) -> None:
    amelia = logged_in("amelia")
    form = amelia.get("/console/medicare", params={"check": check})
    assert form.status_code == 200 and 'name="date"' in form.text
    answer = amelia.post(f"/console/medicare/{check}", data={"date": "2026-11-23"})
    assert answer.status_code == 200 and re.search(r"answer-head.*(yes|no|unknown)|role=\"alert\"", answer.text)


def test_a_medicare_answer_has_its_rule_and_source(logged_in: LogIn) -> None:
    facts = {"date": "2026-11-22", "mode": "phone", "level": "B", "last_face_to_face": "2026-03-01"}
    answer = logged_in("amelia").post("/console/medicare/telehealth_ok", data=facts).text
    assert ">yes<" in answer and "TH-1" in answer
    assert logged_in("amelia").post("/console/medicare/level_from_minutes", data={"minutes": "a lot"}).text.count('role="alert"') == 1


def test_calls_are_listed_and_told_turn_by_turn(gateway: Gateway, logged_in: LogIn) -> None:
    june, log = logged_in("june"), AuditLog(Path(str(gateway.settings.phone.data)) / "audit")
    today, before = dt.date.today(), log.head().seq
    listed = june.get("/console/calls").text
    links = re.findall(rf'href="(/console/calls/{today}/[0-9a-f]+)"', listed)
    assert len(links) >= 4 and "E000" in listed and "RF01" in listed
    told = [june.get(link).text for link in links]
    emergency = next(page for page in told if "chest pain" in page)
    assert "triple zero" in emergency and "turn.decided" in emergency and 'class="safety"' in emergency
    assert all("a person took the call" in page or "Caller" in page for page in told)
    read = [entry.data for entry in log.entries(kind="audit.read", by="june") if entry.seq > before]
    assert len(read) == 1 + len(links) and all(f"call={link[-32:]}" in data["query"] for link, data in zip(links, read[1:], strict=True))


def test_what_callers_asked_of_staff_is_taken_up_and_done(gateway: Gateway, logged_in: LogIn) -> None:
    june = logged_in("june")
    waiting = june.get("/console/requests").text
    forms = re.findall(r'action="/console/requests/([0-9a-f-]+)"', waiting)
    assert forms and "what was said" in waiting
    assert june.post(f"/console/requests/{forms[0]}", data={"status": "rejected"}).status_code >= 400
    assert june.post(f"/console/requests/{forms[0]}", data={"status": "in-progress"}).status_code == 303
    assert "taken by june" in june.get("/console/requests").text
    assert june.post(f"/console/requests/{forms[0]}", data={"status": "completed", "note": "rang back"}).status_code == 303
    assert forms[0] not in june.get("/console/requests").text
    assert june.post("/console/requests/none", data={"status": "completed"}).status_code >= 400
    decided = [entry.data["decision"] for entry in gateway.audit.entries(kind="review.decided", item=forms[0])]
    assert decided == ["in-progress", "completed"]


def test_a_call_that_is_not_there_and_a_transcript_that_is_damaged(gateway: Gateway, logged_in: LogIn) -> None:
    june, today = logged_in("june"), dt.date.today()
    assert june.get(f"/console/calls/{today}/nothing").status_code == 404
    assert june.get(f"/console/calls/{today}/..%2F..%2Fkey").status_code in (400, 404)
    folder = Path(str(gateway.settings.phone.data)) / "transcripts"
    damaged = sorted(folder.iterdir())[0]
    whole = damaged.read_bytes()
    for content in (b"", b'{"entries": [{"who": "cat"}]}', whole[: len(whole) // 2], b"[" * 100_000):
        damaged.write_bytes(content)
        page = june.get(f"/console/calls/{today}/{damaged.stem}")
        assert page.status_code == 200 and "cannot be read" in page.text and "turn." in page.text
    damaged.unlink()
    assert "No transcript of this call is kept" in june.get(f"/console/calls/{today}/{damaged.stem}").text


def test_the_audit_log_is_searched_verified_exported_and_says_who_looked(gateway: Gateway, logged_in: LogIn) -> None:
    sam = logged_in("sam")
    found = sam.get("/console/audit", params={"kind": "login", "since": "2026-01-01", "until": "2036-01-01", "by": "sam"})
    assert found.status_code == 200 and "<code" not in found.text and "password" in found.text
    looked = next(iter(reversed(list(gateway.audit.entries(kind="audit.read")))))
    assert looked.data["by"] == "sam" and "kind=login" in looked.data["query"]
    lines = sam.get("/console/audit/export", params={"since": "2026-01-01", "until": "2036-01-01"}).text.splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["prev"] for entry in entries[1:]] == [entry["hash"] for entry in entries[:-1]]
    verified = sam.post("/console/audit/verify", data={"log": "gateway"}).text
    assert "whole and in order" in verified and gateway.audit.head().seq > len(entries)
    assert sam.get("/console/audit", params={"since": "tomorrow"}).status_code == 400


def test_people_are_added_changed_and_the_last_admin_stays(gateway: Gateway, logged_in: LogIn) -> None:
    sam = logged_in("sam")
    weak = sam.post("/console/people", data={"login": "ruth", "role": "reception", "password": "short"})
    assert weak.status_code == 400 and "15" in weak.text
    assert sam.post("/console/people", data={"login": "ruth", "role": "reception", "password": PASSWORD}).status_code == 303
    assert sam.post("/console/people/ruth/role", data={"role": "clinician"}).status_code == 303
    assert sam.post("/console/people/ruth/active", data={"active": "false"}).status_code == 303
    ruth = next(person for person in gateway.people.list() if person.login == "ruth")
    assert ruth.role is Role.clinician and not ruth.active
    last = sam.post("/console/people/sam/role", data={"role": "reception"})
    assert last.status_code == 400 and "last admin" in last.text


def test_a_key_is_shown_once_and_revoked(gateway: Gateway, logged_in: LogIn) -> None:
    sam = logged_in("sam")
    made = sam.post("/console/keys", data={"name": "laboratory", "scopes": ["triage", "chat"], "rate": "60", "until": "2036-06-30"})
    secret = re.findall(r"bedside_[a-z0-9]{12}_[A-Za-z0-9_-]{43}", made.text)[0]
    key = gateway.keys.check(secret)
    assert key is not None and key.name == "laboratory" and key.rate_per_minute == 60
    assert secret not in sam.get("/console/keys").text
    assert sam.post(f"/console/keys/{key.id}/revoke").status_code == 303
    assert gateway.keys.check(secret) is None
    for wrong in (
        {"name": "laboratory"},
        {"name": "x", "scopes": ["chat"], "rate": "many"},
        {"name": "x", "scopes": ["chat"], "until": "soon"},
    ):
        assert sam.post("/console/keys", data=wrong).status_code == 400


def test_one_changes_ones_own_password_with_the_old_one(logged_in: LogIn, gateway: Gateway) -> None:
    gateway.people.add("kim", Role.reception, PASSWORD)
    kim, new = logged_in("kim"), "four other words together"
    forms = ({"old": "wrong", "new": new, "again": new}, {"old": PASSWORD, "new": new, "again": new + "x"})
    for form in forms:
        assert kim.post("/console/account", data=form).status_code == 400
    assert kim.post("/console/account", data={"old": PASSWORD, "new": new, "again": new}).status_code == 303
    assert "Your password is changed" in kim.get("/console/account?changed=true").text


def test_a_citation_that_leads_nowhere_is_told_and_reception_opens_no_documents(logged_in: LogIn) -> None:
    place = "/console/ask/document?source=gone.md&start=3&end=9"
    gone = logged_in("amelia").get(place)
    assert gone.status_code == 404 and "no such passage" in gone.text and NOTICE in gone.text
    assert logged_in("june").get(place).status_code == 403
    for wrong in ("start=-1&end=3", "start=x&end=3", "end=3"):
        assert logged_in("amelia").get(f"/console/ask/document?source=a&{wrong}").status_code == 400


def test_asking_without_an_engine_still_says_the_emergency_words(gateway: Gateway, logged_in: LogIn) -> None:
    amelia = logged_in("amelia")
    emergency = amelia.post("/console/ask", data={"question": "my husband collapsed and is not breathing, what do I do"})
    assert (emergency.status_code == 200 and "call triple zero" in emergency.text.lower()) or "call 000" in emergency.text.lower()
    plain = amelia.post("/console/ask", data={"question": "when is the practice open"})
    assert plain.status_code == 503 and "No answer" in plain.text
    logged = list(gateway.audit.entries(kind="api.asked", by="amelia"))
    assert [entry.data["status"] for entry in logged] == [200, 503]
    assert all("husband" not in json.dumps(entry.data) for entry in logged)


def test_home_tells_what_is_not_well(logged_in: LogIn) -> None:
    page = logged_in("june").get("/console").text
    assert "elsewhere" in page and "not reviewed" in page and "Wattle Street Family Practice" in page


def test_files_are_served_and_nothing_beside_them(stranger: TestClient) -> None:
    for name in ("console.css", "console.js", "phone.js", "phone-worklet.js", "icon.svg", "htmx-2.min.js"):
        answer = stranger.get(f"/console/static/{name}")
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
        again = stranger.get(f"/console/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    for name in ("../pages.py", "..%2fpages.py", "%2e%2e/pages.py", "/etc/passwd", "templates/base.html.j2", ""):
        assert stranger.get(f"/console/static/{name}").status_code in (303, 400, 404, 405)


def test_a_page_that_is_not_there_is_told_without_a_trace(logged_in: LogIn) -> None:
    answer = logged_in("sam").get("/console/releases/nothing")
    assert answer.status_code == 404 and "Traceback" not in answer.text and "<h1>" in answer.text
