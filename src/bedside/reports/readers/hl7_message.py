"""HL7 v2 messages: their segments with places, their fields by number, and the acknowledgement.

HL7 v2.4 chapter 2, https://www.hl7.org/implement/standards/. The library `hl7` is not used here: it writes fields that it cannot unescape
into the log of the process, patients' data among them, drops them, and takes four times as long.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from bedside.reports.readers.source import ReportError

AckCode = Literal["AA", "AE", "AR"]
"""Accepted; error, do not send it again as it is; rejected, may be sent again."""

_BLOCK = re.compile(r"(?:\A|(?<=[\r\n\x0b]))[ \t]*(?=(MSH|FHS|BHS|BTS|FTS)([^\w\s])([^\r\n]*))")
_FRAME = "\x0b\x1c\r\n\t "


@dataclass(frozen=True, slots=True)
class Encoding:
    """The signs that part a message (MSH-1 and MSH-2)."""

    field: str = "|"
    component: str = "^"
    repeat: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    def unescaped(self, written: str) -> str:
        """A text with its escapes replaced; line breaks as such, highlighting left out, what is unknown left as it stands."""
        if self.escape not in written:
            return written
        sign = re.escape(self.escape)
        return re.sub(rf"{sign}([^{sign}\n]{{1,64}}){sign}", self._meant, written)

    def escaped(self, text: str) -> str:
        """A text as the content of a field, in one line."""
        names = {self.field: "F", self.component: "S", self.repeat: "R", self.escape: "E", self.subcomponent: "T", "\r": ".br", "\n": ".br"}
        return "".join(f"{self.escape}{names[sign]}{self.escape}" if sign in names else sign for sign in text)

    def _meant(self, found: re.Match[str]) -> str:
        name = found[1]
        signs = {"F": self.field, "S": self.component, "R": self.repeat, "E": self.escape, "T": self.subcomponent, "H": "", "N": ""}
        if name in signs:
            return signs[name]
        if re.fullmatch(r"\.(?:br|sp|ce)[+ ]?\d{0,2}", name):
            return "\n"
        if re.fullmatch(r"\.(?:in|ti|fi|nf|sk)[-+ ]?\d{0,2}", name):
            return " "
        if re.fullmatch(r"X(?:[0-9A-Fa-f]{2})+", name):
            return bytes.fromhex(name[1:]).decode("cp1252", "replace").replace("\r\n", "\n").replace("\r", "\n")
        return found[0]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment.

    Attributes:
        name: `OBX`.
        number: its place among the segments of that name, from 1.
        fields: as they stand there; fields[3] is OBX-3, for MSH too.
        start, end: its characters in the text.
        encoding: of its message.
    """

    name: str
    number: int
    fields: tuple[str, ...]
    start: int
    end: int
    encoding: Encoding

    @property
    def path(self) -> str:
        """`OBX[3]`."""
        return f"{self.name}[{self.number}]"

    def raw(self, field: int) -> str:
        """A field as it stands there; "" where it is missing or HL7's null."""
        written = self.fields[field] if field < len(self.fields) else ""
        return "" if written == '""' else written

    def repeats(self, field: int) -> list[list[str]]:
        """Repeats of a field, each as its components, unescaped."""
        if not (written := self.raw(field)):
            return []
        signs = self.encoding
        return [[signs.unescaped(part) for part in one.split(signs.component)] for one in written.split(signs.repeat)]

    def first(self, field: int, component: int = 1) -> str:
        """A component (from 1) of a field's first repeat, stripped; "" where it is missing."""
        signs = self.encoding
        parts = self.raw(field).split(signs.repeat, 1)[0].split(signs.component, component)
        return signs.unescaped(parts[component - 1]).strip() if len(parts) >= component else ""

    def text(self, field: int) -> str:
        """All of a text field; its repeats are lines."""
        return "\n".join(self.encoding.unescaped(one) for one in self.raw(field).split(self.encoding.repeat))


@dataclass(frozen=True, slots=True)
class Envelope:
    """A header or trailer of a batch or file, such as `BTS|25`."""

    name: str
    first_field: str


def split_messages(text: str) -> tuple[list[tuple[int, int]], list[Envelope]]:
    """Places of the messages in a text, and the batch and file segments around them."""
    blocks = list(_BLOCK.finditer(text))
    ends = [*(block.end() for block in blocks[1:]), len(text)]
    messages = [(block.end(), end) for block, end in zip(blocks, ends, strict=False) if block[1] == "MSH"]
    return messages, [Envelope(block[1], block[3].split(block[2])[0].strip()) for block in blocks if block[1] != "MSH"]


def segments_of(text: str, start: int, end: int) -> list[Segment]:
    """The segments of a message that stands at `start` to `end`; a line that begins no segment belongs to the one before it.

    Raises:
        ReportError: the message is broken.
    """
    content = text[start:end].rstrip(_FRAME)
    separator = re.escape(content[3:4])
    begins = [
        found.end() for found in re.finditer(rf"(?:\A|(?<=[\r\n]))[ \t]*(?=[A-Z][A-Z\d]{{2}}{separator}|[A-Z][A-Z\d]{{2}}[\r\n])", content)
    ]
    bounds = list(zip(begins, [*begins[1:], len(content)], strict=True))
    lines = [re.sub(r"\r\n?", "\n", content[first:last].rstrip("\r\n \t")) for first, last in bounds]
    encoding = _encoding(lines[0]) if lines else None
    if encoding is None:
        raise ReportError(f"the HL7 message at character {start} has no whole header", "Have it sent again")
    fields = [tuple(line.split(encoding.field)) for line in lines]
    fields[0] = (fields[0][0], encoding.field, *fields[0][1:])  # MSH-1 is the separator itself
    counts: dict[str, int] = {}
    found: list[Segment] = []
    for held, (first, last) in zip(fields, bounds, strict=True):
        counts[held[0]] = counts.get(held[0], 0) + 1
        end = first + len(content[first:last].rstrip("\r\n \t"))
        found.append(Segment(held[0], counts[held[0]], held, start + first, start + end, encoding))
    return found


def ack(message: str, code: AckCode, text: str = "", *, now: datetime | None = None) -> str:
    """The acknowledgement of a message in original mode (HL7 v2.4, 2.13): MSH with the parties exchanged, and MSA.

    Args:
        message: as it was received, with or without its MLLP frame; one that is broken is answered as far as its header can be read.
        code: `AA` accepted, `AE` error, `AR` rejected.
        text: for MSA-3, which people of the sender read; escaped here.
        now: time of the answer, UTC.

    Returns:
        The message, segments ended by carriage returns, without MLLP frame.
    """
    head = message.lstrip(_FRAME).splitlines()[0] if message.strip(_FRAME) else ""
    signs = _encoding(head) or Encoding()
    field = signs.field
    parts = ["MSH", field, *head.split(field)[1:]] if head.startswith("MSH") else []
    of = {number: parts[number].strip() if number < len(parts) else "" for number in range(3, 19)}
    component = signs.component
    trigger = of[9].split(component)[1:2] or ["R01"]
    moment = (now or datetime.now(UTC)).strftime("%Y%m%d%H%M%S%z")
    kind = component.join(("ACK", trigger[0], "ACK")) if of[12] >= "2.4" else component.join(("ACK", trigger[0]))
    own_id = uuid.uuid4().hex[:20].upper()
    header = [
        "MSH",
        head.split(field)[1] if _encoding(head) else "^~\\&",
        of[5],
        of[6],
        of[3],
        of[4],
        moment,
        "",
        kind,
        own_id,
        of[11] or "P",
        of[12] or "2.4",
    ]
    if of[18]:
        header += ["", "", "", "", "", of[18]]
    said = signs.escaped(text[:80])
    return field.join(header) + "\r" + field.join(("MSA", code, of[10], said)).rstrip(field) + "\r"


def _encoding(header: str) -> Encoding | None:
    """The signs of a message; None where its header does not give all of them, each another."""
    found = re.match(r"MSH([^\w\s])([^\w\s])([^\w\s])([^\w\s])([^\w\s])?", header)
    given = [sign for sign in found.groups() if sign] if found else []
    return Encoding(*given) if len(given) >= 4 and len(set(given)) == len(given) else None
