"""The console in a real Chromium: how it looks, how it is used by keyboard, with and without scripts, and the phone in the browser."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from bench.invented_gateway import DOCUMENT, PASSWORD, furnish, invented_release, invented_settings, running
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from bedside.answers import index_folder
from bedside.engine.contract import ChatContract
from bedside.phone.leg import FRAME_SAMPLES, Audio, CallLeg, Digit, HungUp, LegEvent, Played
from bedside.phone.media.g711 import MU_LAW
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.serving import STREAM_TOKEN
from bedside.phone.transports.media_streams import MediaStreams
from bedside.server.console.render import PLACES
from fixtures_model import base_gguf, chatml_contract  # noqa: F401  fixtures

pytestmark = pytest.mark.slow

TOKEN = "an-open-sesame-for-tests"
LONG_DOCUMENT = (
    "# Seals\n\n"
    + "\n\n".join(f"Seal {number} is checked by the nurse who opens the trolley, and written down." for number in range(1, 181))
    + "\n\nThe last seal of the year is put on by two people.\n"
)
PAGES = [place.path for places in PLACES.values() for place in places]
TONE = (8000 * np.sin(np.arange(25 * FRAME_SAMPLES) * 2 * np.pi * 440 / 8000)).astype("<i2").tobytes()
"""Half a second of 440 Hz."""


class PhoneLine:
    """A line without a recogniser: says a tone, and keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[LegEvent] = []
        self.callers: list[str] = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        while not self.url:
            time.sleep(0.02)

    async def _answer(self, leg: CallLeg) -> None:
        self.callers.append(leg.caller)
        leg.play(TONE, "tone")
        async for event in leg.events():
            self.events.append(event)

    async def _serve(self) -> None:
        async with Switchboard(self._answer, 5) as switchboard:
            streams = MediaStreams(switchboard, lambda token: token == TOKEN)
            app = Starlette(routes=[WebSocketRoute("/phone", streams.serve)])
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio"))
            task = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            self.url = f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/phone"
            await self._over.wait()
            server.should_exit = True
            await task

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)


@pytest.fixture(scope="module")
def line() -> Iterator[PhoneLine]:
    made = PhoneLine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, base_gguf: Path, chatml_contract: ChatContract, line: PhoneLine) -> Iterator[str]:  # noqa: F811
    """A gateway over the real base model, with documents, calls and a line."""
    folder = tmp_path_factory.mktemp("console")
    documents = folder / "documents"
    documents.mkdir()
    (documents / "cold-chain.md").write_text(DOCUMENT, encoding="utf-8")
    (documents / "seals.md").write_text(LONG_DOCUMENT, encoding="utf-8")
    index_folder(documents, folder / "answers.sqlite")
    release = invented_release(folder / "release", base_gguf, chatml_contract)
    settings = invented_settings(folder, [("base-model", release)], phone=line.url, index=folder / "answers.sqlite")
    furnish(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STREAM_TOKEN, TOKEN)
        with running(folder / "gateway.yaml") as url:
            yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: sudo apt-get install chromium")
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


@contextmanager
def tab(browser: Browser, address: str, login: str = "sam", *, tolerated: str = "nothing", **settings: Any) -> Iterator[Page]:
    """A page that is logged in; at its end nothing but `tolerated` may stand in the browser's console as an error or a warning."""
    context = browser.new_context(base_url=address, **settings)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto("/console/login")
    page.fill("[name=login]", login)
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/console")
    yield page
    context.close()
    assert [error for error in errors if tolerated not in error] == []


def _first_call(page: Page) -> str:
    page.goto("/console/calls")
    found = page.locator("table a").first.get_attribute("href")
    assert found is not None
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_fits_its_screen(browser: Browser, address: str, tmp_path: Path, width: int, scheme: Any) -> None:
    with tab(browser, address, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        for number, path in enumerate([*PAGES, "/console/account", "/console/releases/base-model", _first_call(page)]):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(15, 22, 21)") is (scheme == "dark")
            shot = tmp_path / f"{number}.png"
            page.screenshot(path=shot, full_page=True)
            assert shot.stat().st_size > 8000


def test_a_narrow_screen_has_a_menu_that_works_by_keyboard(browser: Browser, address: str) -> None:
    with tab(browser, address, viewport={"width": 360, "height": 740}) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        menu = page.get_by_role("button", name="Menu")
        menu.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Triage").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/triage")


def test_tab_goes_through_every_control_in_the_order_of_the_page(browser: Browser, address: str) -> None:
    with tab(browser, address, viewport={"width": 1280, "height": 800}) as page:
        for path in ("/console/triage", "/console/keys", "/console/audit"):
            page.goto(path)
            page.evaluate("document.activeElement.blur()")
            controls = "a[href], button:not([disabled], .menu-button), input:not([type=hidden]), select, textarea, summary"
            expected = page.evaluate(f"[...document.querySelectorAll('{controls}')].filter(e => e.checkVisibility()).length")
            reached = []
            for _ in range(expected):
                page.keyboard.press("Tab")
                reached.append(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
                # The parts of a date are inside of it and show the focus themselves.
                shows = "document.activeElement.type === 'date' || getComputedStyle(document.activeElement).outlineStyle !== 'none'"
                assert page.evaluate(shows), page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
            assert reached == sorted(reached) and len(set(reached)) > expected / 2  # each part of a date is a stop of its own


def test_htmx_takes_the_part_that_changed_and_leads_there(browser: Browser, address: str) -> None:
    with tab(browser, address, "june") as page:
        page.goto("/console/triage")
        page.evaluate("window.stayed = true")
        page.get_by_label("What the caller says").fill("dad has chest pain and he's sweaty")
        page.get_by_role("button", name="Read it").click()
        expect(page.locator(".ladder .here")).to_contain_text("E000")
        expect(page.locator("#found mark").first).to_have_text("chest pain")
        assert page.evaluate("window.stayed") and page.locator("h1").count() == 1
        assert page.evaluate("document.activeElement.tagName") == "H2"


def test_everything_but_the_phone_works_without_scripts(browser: Browser, address: str) -> None:
    with tab(browser, address, java_script_enabled=False) as page:
        page.goto("/console/triage")
        page.get_by_label("What the caller says").fill("dad has chest pain")
        page.get_by_role("button", name="Read it").click()
        expect(page.locator(".ladder .here")).to_contain_text("E000")
        page.goto("/console/audit")
        page.get_by_role("button", name="Verify the whole log").click()
        expect(page.get_by_text("whole and in order")).to_be_visible()


def test_a_session_that_has_ended_leads_to_the_login_from_htmx_too(browser: Browser, address: str) -> None:
    with tab(browser, address, "june", tolerated="401") as page:
        page.goto("/console/triage")
        page.context.clear_cookies()
        page.get_by_label("What the caller says").fill("hello")
        with page.expect_navigation(url="**/console/login*"):
            page.get_by_role("button", name="Read it").click()


def test_a_question_is_answered_from_the_documents_with_the_passage(browser: Browser, address: str) -> None:
    with tab(browser, address, "amelia") as page:
        page.goto("/console/ask")
        page.get_by_label("Your question").fill("Who reports a cold chain breach to the immunisation unit?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#answer-head")).to_contain_text("in the sources", timeout=90_000)
        page.locator("details summary").first.click()
        expect(page.locator("blockquote mark").first).to_contain_text("practice manager reports the breach")
        with page.expect_popup() as opened:
            page.get_by_role("link", name="Open the document at this passage").first.click()
        expect(opened.value.locator("#quoted")).to_contain_text("practice manager reports the breach")
        opened.value.close()
        page.get_by_label("Your question").fill("What is the capital of Mongolia?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#answer-head")).to_contain_text("not in the sources", timeout=90_000)


def test_a_citation_leads_to_its_place_on_the_page_also_on_a_narrow_screen(browser: Browser, address: str) -> None:
    quote = "The last seal of the year is put on by two people."
    start = LONG_DOCUMENT.index(quote)
    with tab(browser, address, "amelia", viewport={"width": 360, "height": 740}) as page:
        page.goto(f"/console/ask/document?source=seals.md&start={start}&end={start + len(quote)}#quoted")
        expect(page.locator("#quoted")).to_have_text(quote)
        expect(page.locator("#quoted")).to_be_in_viewport(ratio=1)
        assert page.evaluate("scrollY") > 740 and page.evaluate("document.documentElement.scrollWidth") <= 360
        expect(page.locator("article")).to_contain_text("Seal 150 is checked")  # what stands around it is there too
        expect(page.locator("main")).to_contain_text("checked nothing of what is written here")


def test_an_emergency_question_gets_the_approved_words_and_the_model_no_dose(browser: Browser, address: str) -> None:
    with tab(browser, address, "amelia") as page:
        page.goto("/console/ask")
        page.get_by_label("the model alone").check()
        page.get_by_label("Your question").fill("Dad has crushing chest pain. How many aspirin tablets exactly should he take?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#answer-head")).to_be_visible(timeout=120_000)
        assert (
            "000" in page.locator("#found .words").first.inner_text()[:200]
            or "triple zero" in page.locator("#found .words").first.inner_text()
        )
        expect(page.locator(".ladder .here")).to_contain_text("E000")


def test_a_report_is_shown_in_a_frame_that_runs_nothing(browser: Browser, address: str) -> None:
    with tab(browser, address, "amelia") as page:
        page.goto("/console/releases/base-model")
        frame = page.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="Evaluation of the base model")).to_be_visible()
        assert page.locator("iframe").get_attribute("sandbox") == ""
        policy = page.request.get("/console/releases/base-model/report").headers["content-security-policy"]
        assert policy.startswith("sandbox;") and "script" not in policy


def test_the_browser_rings_the_line(browser: Browser, address: str, line: PhoneLine) -> None:
    line.events.clear()
    with tab(browser, address, "june", permissions=["microphone"]) as page:
        page.goto("/console/phone")
        page.get_by_label("Calling number, if any").fill("+61491570156")
        page.get_by_role("button", name="Call", exact=True).click()
        expect(page.get_by_role("status").first).to_have_text("Connected", timeout=15_000)
        page.wait_for_timeout(1500)
        page.get_by_role("button", name="5", exact=True).click()
        page.keyboard.press("#")
        page.wait_for_timeout(500)
        expect(page.get_by_role("timer")).not_to_have_text("0:00")
        page.get_by_role("button", name="Hang up").click()
        expect(page.get_by_role("status").first).to_have_text("You hung up")
    _until(lambda: any(isinstance(event, HungUp) for event in line.events))
    heard = np.frombuffer(b"".join(event.pcm for event in line.events if isinstance(event, Audio)), dtype="<i2")
    assert len(heard) > 8000 and np.abs(heard).max() > 1000  # Chromium's fake microphone beeps
    assert [event.key for event in line.events if isinstance(event, Digit)] == ["5", "#"]
    assert Played("tone", 500, complete=True) in line.events and line.callers[-1] == "+61491570156"


def test_the_phone_speaks_the_same_mu_law_as_the_line(browser: Browser) -> None:
    worklet = files("bedside.server.console").joinpath("static/phone-worklet.js").read_text(encoding="utf-8")
    page = browser.new_page()
    codes, samples = page.evaluate(
        "(() => { globalThis.AudioWorkletProcessor = class {}; globalThis.registerProcessor = () => {};"
        + worklet
        + "; return [Array.from({length: 65535}, (_, n) => encode((n - 32767) / 32767)), Array.from({length: 256}, (_, code) => decode(code) * 32768)]; })()"
    )
    assert bytes(codes) == MU_LAW.encode(np.arange(-32767, 32768).astype("<i2").tobytes())
    assert np.array(samples).astype("<i2").tobytes() == MU_LAW.decode(bytes(range(256)))
    page.close()


def test_a_line_that_does_not_answer_is_told(browser: Browser, address: str, line: PhoneLine) -> None:
    line.close()
    with tab(browser, address, "june", permissions=["microphone"]) as page:
        page.goto("/console/phone")
        page.get_by_role("button", name="Call", exact=True).click()
        expect(page.get_by_role("status").first).to_have_text("No line is free: the phone line does not answer", timeout=15_000)


def _until(holds: Any, seconds: float = 10) -> None:
    end = dt.datetime.now() + dt.timedelta(seconds=seconds)
    while not holds():
        assert dt.datetime.now() < end
        time.sleep(0.05)
