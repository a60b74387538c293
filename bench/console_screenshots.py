"""Takes the pictures of the console's manual, from an invented practice's gateway in a real Chromium.

    python -m bench.console_screenshots MODEL.gguf RELEASE

MODEL.gguf is the base model that `bedside fetch` keeps, RELEASE a trained release with its report, such as runs/clinic-line/release.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import BrowserContext, Page, sync_playwright

from bedside.answers import index_folder
from bedside.engine.contract import ChatContract
from bench.invented_gateway import DOCUMENT, PASSWORD, furnish, invented_release, invented_settings, running

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SAID = "hi it's about dad, he's got really bad chest pain and he's gone all sweaty, sorry to bother you"
LIST = "Eliquis, Nurofen\nZoloft, tramadol"
QUESTION = "Who reports a cold chain breach to the immunisation unit?"


def main(model: Path, trained: Path) -> None:
    """Write docs/images/console-*.png."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium: sudo apt-get install chromium")
    with TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        _furnished(folder, model, trained)
        with running(folder / "gateway.yaml") as address:
            browser = playwright.chromium.launch(executable_path=chromium)
            wide, narrow = {"width": 1280, "height": 800}, {"width": 360, "height": 800}
            _pictures(_logged_in(browser.new_context(base_url=address, locale="en-AU", viewport=wide)))
            for kind, context in (
                ("-dark", browser.new_context(base_url=address, locale="en-AU", viewport=wide, color_scheme="dark")),
                ("-narrow", browser.new_context(base_url=address, locale="en-AU", viewport=narrow)),
            ):
                _filled(_logged_in(context), "triage", "text", SAID, kind)
            browser.close()


def _furnished(folder: Path, model: Path, trained: Path) -> None:
    documents = folder / "documents"
    documents.mkdir()
    (documents / "cold-chain.md").write_text(DOCUMENT, encoding="utf-8")
    index_folder(documents, folder / "answers.sqlite")
    # The base is asked as its tuned release is, without the code words that only the release was taught.
    contract = ChatContract.load(trained).model_copy(update={"codebook": None, "systems": {}, "max_length": 2048})
    base = invented_release(folder / "release", model, contract)
    releases = [("clinic-line", trained), ("base-model", base)]
    furnish(invented_settings(folder, releases, phone="ws://127.0.0.1:9/phone", index=folder / "answers.sqlite"))


def _logged_in(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto("/console/login")
    page.fill("[name=login]", "sam")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/console")
    return page


def _pictures(page: Page) -> None:
    page.wait_for_timeout(3000)  # the first check of every byte
    page.reload()
    _take(page, "health")
    _filled(page, "triage", "text", SAID)
    _filled(page, "medicines", "text", LIST)
    _filled(page, "ask", "question", QUESTION)
    page.goto("/console/calls")
    page.locator("tr", has_text="E000").locator("a").click()
    _take(page, "call")
    for name, path in (("release", "releases/clinic-line"), *((name, name) for name in ("requests", "audit", "phone", "keys"))):
        page.goto(f"/console/{path}")
        page.wait_for_load_state("networkidle")
        _take(page, name)


def _filled(page: Page, name: str, field: str, words: str, kind: str = "") -> None:
    """A page whose form was sent."""
    page.goto(f"/console/{name}")
    page.fill(f"[name={field}]", words)
    page.click("main form button")
    page.wait_for_selector("#found h2", timeout=120_000)
    if page.locator("#found details").count():
        page.locator("#found details summary").first.click()
    _take(page, name + kind)


def _take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"console-{name}.png", full_page=name not in ("release", "audit"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
