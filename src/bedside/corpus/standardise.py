"""Standardisation: one way to write what sources write in many, with every change named by its rule.

    characters → markup → blanks → names of medicines → wording → headings → device lines → units

Each step looks for its changes in the text as the steps before left it, and all steps are repeated until none finds anything, so a
standardised text is left as it is. Wordings stand in `standardise.yaml`, unit conversions in `units.yaml`.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import ftfy
import yaml
from rapidfuzz.distance import Levenshtein

from bedside.corpus.conversation import Conversation, Message
from bedside.corpus.medicine_repair import damaged_names
from bedside.corpus.units import conventional_values
from bedside.workspace.ledger import DropLedger

STAGE = "standardise"
_ROUNDS = 6
"""Every rule writes something that it does not look for, so two rounds are usual; more are only needed where one rule's words feed another."""
_LONG_LINE = 4000
"""Longer lines are compared by what they begin and end with alone; aligning them letter by letter would cost their length squared."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was changed.

    Attributes:
        start, end: its place in the text as it came in: `original[start:end]`; nothing (`start == end`) where words were added.
        before: the words that the rule found there; other than `original[start:end]` only where an earlier rule had changed them.
        after: what it wrote instead.
        rule: the rule's id.
    """

    start: int
    end: int
    before: str
    after: str
    rule: str


@dataclass(frozen=True, slots=True)
class Standardised:
    """A text after standardisation.

    Attributes:
        text: the text.
        changes: in the order in which they were made.
        doubtful: names of medicines too damaged to be repaired, as places in `text`; a record that holds one must not be taught.
    """

    text: str
    changes: tuple[Change, ...]
    doubtful: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """What one rule would write instead of `text[start:end]`."""

    start: int
    end: int
    after: str
    rule: str


def standardise(text: str, *, locale: str = "en") -> Standardised:
    """Standardise a text.

    Args:
        locale: BCP 47 tag of its wording; in `en-AU` the day stands before the month where a date may be read both ways.
    """
    steps: tuple[Callable[[str], Iterable[Edit]], ...] = (
        _characters,
        _markup,
        _blanks,
        _medicines,
        _wordings,
        _patterns,
        _headings,
        lambda words: _device_lines(words, day_first=locale == "en-AU"),
        _units,
    )
    changes: list[Change] = []
    trail: list[list[Edit]] = []
    clean: dict[Callable[[str], Iterable[Edit]], str] = {}
    for step in steps * _ROUNDS:
        if clean.get(step) == text:
            continue
        edits = _without_overlaps(text, step(text))
        if edits:
            changes += [Change(*_origin(trail, e), text[e.start : e.end], e.after, e.rule) for e in edits]
            trail.append(edits)
            text = _applied(text, edits)
        else:
            clean[step] = text
    return Standardised(text, tuple(changes), tuple((name.start, name.end) for name in damaged_names(text)))


def standardise_conversation(conversation: Conversation, ledger: DropLedger) -> Conversation | None:
    """The conversation with all its messages standardised; None, and in the ledger as dropped, where it cannot be taught.

    Each rule that changed something is one entry of the ledger, with how often and where first. Labels are left as they are.
    """
    source, where = conversation.provenance.source, conversation.provenance.where
    messages: list[Message] = []
    counted: dict[str, list[str]] = defaultdict(list)
    for number, message in enumerate(conversation.messages, 1):
        result = standardise(message.content, locale=conversation.provenance.locale)
        for change in result.changes:
            counted[change.rule].append(f"message {number}, character {change.start}")
        if result.doubtful:
            detail = f"message {number}, character {result.doubtful[0][0]} of the standardised text: the name may be of several medicines"
            ledger.add(STAGE, "dropped", "corrupted_medicine", source=source, where=where, detail=detail)
            return None
        if not result.text:
            ledger.add(
                STAGE, "dropped", "nothing_left", source=source, where=where, detail=f"message {number} held markup and blanks alone"
            )
            return None
        messages.append(message.model_copy(update={"content": result.text}))
    for rule, places in counted.items():
        ledger.add(STAGE, "changed", rule, source=source, where=where, detail=f"{len(places)} times, first in {places[0]}")
    return conversation.model_copy(update={"messages": tuple(messages)}) if counted else conversation


def _without_overlaps(text: str, edits: Iterable[Edit]) -> list[Edit]:
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.start, -e.end)):
        if text[edit.start : edit.end] != edit.after and (not kept or edit.start >= kept[-1].end):
            kept.append(edit)
    return kept


def _applied(text: str, edits: list[Edit]) -> str:
    pieces, last = [], 0
    for edit in edits:
        pieces += [text[last : edit.start], edit.after]
        last = edit.end
    return "".join([*pieces, text[last:]])


def _origin(trail: list[list[Edit]], edit: Edit) -> tuple[int, int]:
    """Where in the text as it came in an edit's place comes from, through all the edits of `trail` before it."""
    start, end = edit.start, edit.end
    for edits in reversed(trail):
        start, end = _place_before(edits, start, last=False), _place_before(edits, end, last=start < end)
    return start, max(start, end)


def _place_before(edits: list[Edit], place: int, *, last: bool) -> int:
    """The place before `edits` were applied of a place after; inside what one wrote, the begin or (`last`) the end of what it replaced."""
    shifts = _shifts(tuple(edits))
    index = bisect_right(shifts, place if not last else place - 1, key=lambda shift: shift[0]) - 1
    if index < 0:
        return place
    _, end_after, edit = shifts[index]
    if place < end_after or (last and place == end_after):
        return edit.end if last else edit.start
    return edit.end + place - end_after


@lru_cache(maxsize=8)
def _shifts(edits: tuple[Edit, ...]) -> list[tuple[int, int, Edit]]:
    shifts, moved = [], 0
    for edit in edits:
        start = edit.start + moved
        shifts.append((start, start + len(edit.after), edit))
        moved += len(edit.after) - (edit.end - edit.start)
    return shifts


# --- characters, markup, blanks ---------------------------------------------------------------------------------------------------------

_FIXES = ftfy.TextFixerConfig(unescape_html=False, explain=False)
_TAG = re.compile(
    r"<!--.*?-->|<(?P<hidden>script|style)\b[^<>]*>.*?</(?P=hidden)\s*>"
    r"|<(?P<close>/?)(?P<tag>p|div|span|br|b|i|u|em|strong|a|ul|ol|li|table|tr|td|th|tbody|thead|h[1-6]|font|img|sup|sub|html|body|head|title|hr"
    r"|small|center|blockquote|pre|code|section|article)(?:\s*/?|\s+[\w-]+\s*=[^<>]{0,500})>",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_NEW_LINE = {
    "br",
    "p",
    "div",
    "li",
    "tr",
    "table",
    "ul",
    "ol",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "section",
    "article",
}
_BLANKS = (
    (re.compile("[\u200b\u2060\ufeff\u00ad]+"), ""),
    (re.compile(r"\r\n?|[\u2028\u2029\x85\v\f]"), "\n"),
    (re.compile(r"\A\s+|\s+\Z|[^\S\n]+(?=\n)"), ""),
    (re.compile(r"[^\S\n]{2,}|[^\S\n ]"), " "),
    (re.compile(r"\n{3,}"), "\n\n"),
)


def _characters(text: str) -> Iterator[Edit]:
    """Mojibake, wrong code pages, ligatures, full-width letters, control characters and composed forms (ftfy, Speer 2019)."""
    place = 0
    for line in text.splitlines(keepends=True):
        fixed = line if line.isascii() and line.isprintable() else ftfy.fix_text(line, _FIXES)
        if fixed != line:
            yield from _differences(line, fixed, place)
        place += len(line)


def _differences(before: str, after: str, place: int) -> Iterator[Edit]:
    if len(before) > _LONG_LINE:
        same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
        most = min(len(before), len(after)) - same
        tail = next((i for i in range(most) if before[-1 - i] != after[-1 - i]), most)
        yield Edit(place + same, place + len(before) - tail, after[same : len(after) - tail], "characters")
        return
    for step in Levenshtein.opcodes(before, after):
        if step.tag != "equal":
            yield Edit(place + step.src_start, place + step.src_end, after[step.dest_start : step.dest_end], "characters")


def _markup(text: str) -> Iterator[Edit]:
    if "<" in text:
        for match in _TAG.finditer(text):
            tag = (match["tag"] or "").lower()
            instead = "^" if tag == "sup" and not match["close"] else "\n" if tag in _NEW_LINE else " " if tag in ("td", "th") else ""
            yield Edit(*match.span(), instead, "markup.tag")
    if "&" in text:
        for match in _ENTITY.finditer(text):
            yield Edit(*match.span(), html.unescape(match.group()), "markup.entity")


def _blanks(text: str) -> Iterator[Edit]:
    return (Edit(*match.span(), instead, "blanks") for find, instead in _BLANKS for match in find.finditer(text))


# --- words ------------------------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W\d_]+(?:[-'/][^\W\d_]+)*")


def _medicines(text: str) -> Iterator[Edit]:
    return (
        Edit(name.start, name.end, _in_case(text[name.start : name.end], name.meant), name.rule)
        for name in damaged_names(text)
        if name.meant
    )


def _wordings(text: str) -> Iterator[Edit]:
    """Whole words and the beginnings of words that another wording stands for; the longest of several."""
    phrases = _rules().phrases
    words = list(_WORD.finditer(text))
    for at, word in enumerate(words):
        lower = word.group().lower()
        for spelled, instead, rule in phrases.get(lower, ()):
            last = words[min(at + len(spelled), len(words)) - 1]
            if text[word.start() : last.end()].lower() == " ".join(spelled):
                yield Edit(word.start(), last.end(), _phrase_in_case(text, word.start(), last.end(), instead), rule)
                break
        else:
            if stem := _stem(lower):
                beginning, instead, rule = stem
                end = word.start() + len(beginning)
                yield Edit(word.start(), end, _in_case(text[word.start() : end], instead), rule)


@lru_cache(maxsize=50_000)
def _stem(word: str) -> tuple[str, str, str] | None:
    """The longest known beginning of a word, what it becomes, and the rule."""
    stems = _rules().stems
    return next((stems[word[:size]] for size in range(min(len(word), _rules().longest_stem), 3, -1) if word[:size] in stems), None)


def _patterns(text: str) -> Iterator[Edit]:
    return (Edit(*match.span(), match.expand(instead), rule) for find, instead, rule in _rules().patterns for match in find.finditer(text))


def _headings(text: str) -> Iterator[Edit]:
    for match in _HEADING.finditer(text):
        if standard := _rules().headings.get(" ".join(match["name"].lower().split())):
            yield Edit(*match.span("name"), standard, "heading")


_HEADING = re.compile(r"^[ \t#*]*(?P<name>[A-Za-z][A-Za-z/' ]{0,40}?)[ *]*:", re.MULTILINE)


def _phrase_in_case(text: str, start: int, end: int, instead: str) -> str:
    """As `_in_case`; a capital that a brand or an abbreviation has by itself is kept only where a sentence begins."""
    before, opening = text[start:end], text[max(0, start - 3) : start].rstrip(" \"'(")
    own_capital = before[:1].isupper() and before != before.upper() and opening[-1:] not in ("", ".", "!", "?", "\n", ":")
    if own_capital or (" " in instead and before.isupper()):
        return instead
    return _in_case(before, instead)


def _in_case(before: str, after: str) -> str:
    """`after` in capitals where `before` is, unless it has capitals of its own."""
    if after != after.lower():
        return after
    if before.isupper() and len(before) > 1:
        return after.upper()
    return after[:1].upper() + after[1:] if before[:1].isupper() else after


# --- device lines and units -------------------------------------------------------------------------------------------------------------

_STAMP = re.compile(
    r"^(?P<open>\W{0,2})(?:(?P<year>\d{4})(?P<sep>[-/.]?)(?P<month>\d\d)(?P=sep)(?P<day>\d\d)|(?P<first>\d{1,2})[-/.](?P<second>\d{1,2})[-/.](?P<late>\d{4}))"
    r"[T ,]{1,2}(?P<hour>\d{1,2}):?(?P<minute>\d\d)(?::?(?P<seconds>\d\d))?(?:\.\d+)?(?:\s?(?P<half>[AaPp][Mm]))?(?=[\s,;|\])]|Z)",
)
_VALUE = r"\s*[=: ]\s*(?P<value>\d{1,4}(?:\.\d+)?(?:\s?/\s?\d{1,3})?)(?P<unit>\s?(?:%|/min|bpm|mmHg|mmol/L|mg/dL|°?[CF]|kg|L/min|L|lb)(?![\w/]))?(?![\d.,/])"


def _device_lines(text: str, *, day_first: bool) -> Iterator[Edit]:
    """Lines that begin with a time and hold a reading: the time as ISO 8601, readings as `name value unit`."""
    place = 0
    for line in text.splitlines(keepends=True):
        stamp = _STAMP.match(line) if line[:4].strip(" [(<\"'")[:1].isdigit() else None
        readings = list(_rules().reading.finditer(line, stamp.end())) if stamp else []
        if stamp and readings:
            if written := _iso(stamp, day_first):
                yield Edit(place + stamp.end("open"), place + stamp.end(), written, "device.time")
            for match in readings:
                yield Edit(place + match.start(), place + match.end(), _reading(match), "device.reading")
        place += len(line)


def _iso(stamp: re.Match[str], day_first: bool) -> str | None:
    """The time in ISO 8601; None where day and month cannot be told apart, or it is none."""
    if stamp["year"]:
        year, month, day = stamp["year"], int(stamp["month"]), int(stamp["day"])
    else:
        year, day, month = stamp["late"], int(stamp["first"]), int(stamp["second"])
        if month > 12:
            day, month = month, day
        elif day <= 12 and day != month and not day_first:
            return None
    hour = int(stamp["hour"]) % 12 + (12 if stamp["half"].lower() == "pm" else 0) if stamp["half"] else int(stamp["hour"])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and int(stamp["minute"]) < 60):
        return None
    seconds = f":{stamp['seconds']}" if stamp["seconds"] else ""
    return f"{year}-{month:02}-{day:02} {hour:02}:{stamp['minute']}{seconds}"


def _reading(match: re.Match[str]) -> str:
    name, unit = _rules().readings[" ".join(match["name"].lower().split())]
    return f"{name} {''.join(match['value'].split())} {(match['unit'] or unit).strip().replace('bpm', '/min')}".rstrip()


def _units(text: str) -> Iterator[Edit]:
    return (Edit(value.end, value.end, value.text, "unit.australian") for value in conventional_values(text))


# --- the rules --------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rules:
    """`standardise.yaml`, ready for use: phrases by their first word, the longest first."""

    phrases: dict[str, list[tuple[tuple[str, ...], str, str]]]
    stems: dict[str, tuple[str, str, str]]
    longest_stem: int
    patterns: list[tuple[re.Pattern[str], str, str]]
    headings: dict[str, str]
    readings: dict[str, tuple[str, str]]
    reading: re.Pattern[str]


@cache
def _rules() -> _Rules:
    content: dict[str, Any] = yaml.safe_load(files("bedside.corpus").joinpath("standardise.yaml").read_text(encoding="utf-8"))
    phrases: defaultdict[str, list[tuple[tuple[str, ...], str, str]]] = defaultdict(list)
    for rule, wordings in content["wordings"].items():
        for spelled, instead in wordings.items():
            phrases[spelled.split()[0]].append((tuple(spelled.split()), instead, rule))
    for listed in phrases.values():
        listed.sort(key=lambda entry: -len(entry[0]))
    stems = {stem: (stem, instead, rule) for rule, table in content["stems"].items() for stem, instead in table.items()}
    readings = {spelled: (name, entry["unit"]) for name, entry in content["readings"].items() for spelled in entry["names"]}
    names = "|".join(re.escape(name).replace(r"\ ", r"\s?") for name in sorted(readings, key=len, reverse=True))
    return _Rules(
        dict(phrases),
        stems,
        max(map(len, stems)),
        [(re.compile(find), instead, rule) for rule, pairs in content["patterns"].items() for find, instead in pairs],
        {spelled: name for name, spellings in content["headings"].items() for spelled in (name.lower(), *spellings)},
        readings,
        re.compile(rf"\b(?P<name>{names}){_VALUE}", re.IGNORECASE),
    )
