"""Plain text from the display formats that Australian HL7 messages carry: RTF, HTML and PIT."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_RTF = re.compile(r"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-f]{2})|\\(.)|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.IGNORECASE | re.DOTALL)
_RTF_WORDS = {"par": "\n", "line": "\n", "row": "\n", "page": "\n", "tab": "\t", "cell": "\t", "endash": "–", "emdash": "—", "bullet": "•"}
_RTF_UNSEEN = {"fonttbl", "colortbl", "stylesheet", "info", "pict", "header", "footer", "themedata", "listtable", "object", "generator"}
_PIT = re.compile(r"~[A-Z]{4}~?|~F[GB][0-9A-F]{2}~?")
"""PIT marks bold, colours and the like by a tilde and four characters."""
_HTML_LINES = {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "pre", "table"}


def from_rtf(text: str) -> str:
    """The text of an RTF document (Windows-1252): paragraphs as lines, cells apart by tabs, tables of fonts and pictures left out."""
    out: list[str] = []
    unseen_from: int | None = None
    depth = 0
    skip = 0
    for word, count, code, sign, brace, run in (found.groups() for found in _RTF.finditer(text)):
        if brace:
            depth += 1 if brace == "{" else -1
            unseen_from = None if unseen_from is not None and depth < unseen_from else unseen_from
        elif unseen_from is None and (sign == "*" or word in _RTF_UNSEEN):
            unseen_from = depth
        elif unseen_from is not None:
            continue
        elif word == "u" and count:
            out.append(chr(int(count) % 65536) if not 0xD800 <= int(count) % 65536 < 0xE000 else "�")
            skip = 1
        elif word or sign:
            out.append(_RTF_WORDS.get(word or "", sign if sign and sign in "{}\\" else " " if sign == "~" else ""))
        elif skip and (code or run):
            out.append((run or "")[1:])  # the stand-in for readers that know no Unicode
            skip = 0
        elif code or run:
            out.append(run or bytes.fromhex(code).decode("cp1252", "replace"))
    return "".join(out).strip()


def from_pit(text: str) -> str:
    """PIT text without its marks."""
    return _PIT.sub("", text)


def from_html(text: str) -> str:
    """The visible text of an HTML document."""
    reader = _Visible(convert_charrefs=True)
    reader.feed(text)
    reader.close()
    return re.sub(r"\n\s*\n+", "\n", "".join(reader.out)).strip()


class _Visible(HTMLParser):
    def __init__(self, *, convert_charrefs: bool) -> None:
        super().__init__(convert_charrefs=convert_charrefs)
        self.out: list[str] = []
        self.unseen = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.unseen = tag in ("script", "style", "head")
        if tag in _HTML_LINES:
            self.out.append("\n")
        elif tag in ("td", "th"):
            self.out.append("\t")

    def handle_endtag(self, tag: str) -> None:
        self.unseen = self.unseen and tag not in ("script", "style", "head")

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.out.append(data)
