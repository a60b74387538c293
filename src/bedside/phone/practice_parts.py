"""The parts of a practice file, each with the rules that hold within it."""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from bedside.knowledge.identifiers import is_valid
from bedside.safety.medicare.fees import Money

DAY_MINUTES = 24 * 60
_SPAN = re.compile(r"(\d{1,2}):([0-5]\d)\s*-\s*(\d{1,2}):([0-5]\d)")
_PHONE = re.compile(r"0[23478]\d{8}|13\d{4}|1[38]00\d{6}")
_TARGET = re.compile(r"\d{2,6}|sips?:[^@\s]+@[^@\s]+")
_EMERGENCY = ("000", "112", "106")


class Span(NamedTuple):
    """A stretch of one day by the clock on the wall, in minutes since midnight; `last` is its end and not part of it."""

    first: int
    last: int

    def cut(self, other: Span) -> Span | None:
        """What both have in common."""
        both = Span(max(self.first, other.first), min(self.last, other.last))
        return both if both.first < both.last else None


def _read_spans(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "closed":
        return ()
    spans = []
    for part in value.split(","):
        found = _SPAN.fullmatch(part.strip())
        if not found:
            raise ValueError("write hours like 08:30-12:30, 13:30-17:00, or closed")
        hour, minute, to_hour, to_minute = map(int, found.groups())
        spans.append(Span(hour * 60 + minute, to_hour * 60 + to_minute))
    if any(span.first >= span.last or span.last > DAY_MINUTES for span in spans):
        raise ValueError("hours end after they begin and before 24:00")
    if any(one.last > other.first for one, other in pairwise(spans)):
        raise ValueError("hours follow one another and do not overlap")
    return tuple(spans)


def _read_clock(value: object) -> object:
    # YAML reads an unquoted 11:45 as the sexagesimal number 705, which is the same in minutes since midnight.
    found = re.fullmatch(r"(\d{1,2}):([0-5]\d)", value) if isinstance(value, str) else None
    return int(found[1]) * 60 + int(found[2]) if found else value


def _read_phone(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("put the number into quotes")
    digits = re.sub(r"[ ()-]", "", value)
    if digits in _EMERGENCY:
        raise ValueError("the line never dials an emergency number for a caller")
    if not _PHONE.fullmatch(digits):
        raise ValueError("is no Australian telephone number with its area code")
    return value


def _read_target(value: object) -> object:
    if isinstance(value, str) and value not in _EMERGENCY and _TARGET.fullmatch(value):
        return value
    return _read_phone(value)


def _provider_number(value: str) -> str:
    if not is_valid("id.provider", value):
        raise ValueError("fails the check of provider numbers")
    return value


Spans = Annotated[tuple[Span, ...], BeforeValidator(_read_spans)]
Clock = Annotated[int, BeforeValidator(_read_clock), Field(ge=0, lt=DAY_MINUTES)]
Phone = Annotated[str, BeforeValidator(_read_phone)]
ProviderNumber = Annotated[str, AfterValidator(_provider_number)]
Target = Annotated[str, BeforeValidator(_read_target)]
Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=200)]
Role = Literal["gp", "nurse", "allied"]
Mode = Literal["in_person", "phone", "video"]


class Part(BaseModel):
    """What all parts share: frozen, and a key that is not known is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Week(Part):
    """Hours by weekday, such as `08:30-12:30, 13:30-17:00`; a day left out is closed."""

    mon: Spans = ()
    tue: Spans = ()
    wed: Spans = ()
    thu: Spans = ()
    fri: Spans = ()
    sat: Spans = ()
    sun: Spans = ()

    def on(self, day: dt.date) -> tuple[Span, ...]:
        """The spans of that weekday."""
        return (self.mon, self.tue, self.wed, self.thu, self.fri, self.sat, self.sun)[day.weekday()]


class Days(Part):
    """A run of days, both ends included."""

    first: dt.date
    """The first day."""
    last: dt.date
    """The last day."""
    reason: Words | None = None
    """For staff; the line does not say it."""

    @model_validator(mode="after")
    def _in_order(self) -> Days:
        if self.last < self.first:
            raise ValueError(f"the last day {self.last} lies before the first {self.first}")
        return self

    def __contains__(self, day: dt.date) -> bool:
        return self.first <= day <= self.last


class Holiday(Part):
    """A local public holiday that the calendar of the state does not have."""

    date: dt.date
    """The day."""
    name: Words
    """As callers know it."""


class Address(Part):
    """Where the practice is."""

    street: Words
    """Number and street."""
    suburb: Words
    """Suburb or town."""
    postcode: Annotated[str, Field(pattern=r"^\d{4}$")]
    """Four digits, in quotes."""
    parking: Words | None = None
    """Where to park, as the line says it."""
    access: Words | None = None
    """Steps, ramps and lifts, as the line says it."""


class Numbers(Part):
    """Where calls go. A target is a telephone number, an extension of two to six digits, or a SIP address."""

    main: Phone
    """The number that callers know; it stands in text messages."""
    reception: Target
    """Reception; where a caller goes who says "person" or presses 0."""
    nurse: Target | None = None
    """The nurse; None: reception."""
    overflow: Target
    """Takes calls that the line does not admit, so that nobody hears a busy tone."""
    after_hours: Target | None = None
    """A deputising service; None: the after-hours text is all there is."""


class Practitioner(Part):
    """One doctor, nurse or allied health professional."""

    id: Id
    """In the diary."""
    name: Words
    """As it is written, such as `Dr Amelia Nguyen`."""
    spoken: Words | None = None
    """As it is said; None: `name` with its title in full."""
    also: tuple[Words, ...] = ()
    """Other names that callers use."""
    gender: Literal["female", "male", "other"]
    """For callers who ask for a woman or a man."""
    role: Role = "gp"
    """Decides which appointment types they take."""
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = ("en",)
    """ISO 639 codes."""
    interests: tuple[Words, ...] = ()
    """Special interests, as the line says them."""
    provider_number: ProviderNumber | None = None
    """Medicare provider number at this practice."""
    sessions: Week
    """When they see patients."""
    same_day: tuple[Clock, ...] = ()
    """Times of each session day that are kept for callers who have to be seen today."""
    absences: tuple[Days, ...] = ()
    """Leave."""
    new_patients: bool = True
    """Whether their books are open."""
    bulk_bills: bool | None = None
    """Where it differs from the practice's policy."""

    @property
    def said(self) -> str:
        """The name as the line says it."""
        return self.spoken or re.sub(r"^Dr\.?\s", "Doctor ", self.name)


class AppointmentType(Part):
    """A kind of appointment."""

    id: Id
    """In the diary and in the fee list."""
    name: Words
    """As the line says it, such as "a long appointment"."""
    minutes: int = Field(gt=0, le=240)
    """Its length; a multiple of `slot_minutes`."""
    roles: tuple[Role, ...] = ("gp",)
    """Who gives it."""
    modes: tuple[Mode, ...] = ("in_person",)
    """How the patient is seen."""
    intents: tuple[str, ...] = ()
    """Intents of the catalogue that it serves."""
    reasons: tuple[Words, ...] = ()
    """Words in a caller's reason that ask for it."""
    line_books: bool = True
    """False: the line takes a message and staff book it."""


class PracticeFee(Part):
    """What the practice charges for an appointment type from a day on. The Medicare benefit comes from the dated tables, never from here."""

    type: Id
    """Appointment type."""
    fee: Money
    """Dollars."""
    concession_fee: Money | None = None
    """Dollars for holders of a concession card; None: the same."""
    item: str | None = Field(default=None, pattern=r"^\d{1,5}$")
    """MBS item that the visit is expected to be, in quotes."""
    private: bool = False
    """Medicare pays nothing towards it."""
    valid_from: dt.date
    """First day."""
    valid_to: dt.date | None = None
    """Last day; None: until further notice."""

    def holds_on(self, day: dt.date) -> bool:
        """Whether it is charged on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


class BulkBilling(Part):
    """Which of three honest answers the practice gives (project source book 2.4)."""

    policy: Literal["all", "some", "none"]
    """Every Medicare-eligible patient, some, or none."""
    groups: tuple[Literal["children_under_16", "concession", "veterans", "doctors_choice"], ...] = ()
    """Who, where it is some."""
    incentive_program: bool = False
    """Takes part in the Bulk Billing Practice Incentive Program, which asks for every eligible service."""
    valid_from: dt.date
    """First day of this policy."""

    @model_validator(mode="after")
    def _honest(self) -> BulkBilling:
        if (self.policy == "some") != bool(self.groups):
            raise ValueError("policy `some` names its `groups`, and no other policy has any")
        if self.incentive_program and self.policy != "all":
            raise ValueError("the incentive program asks for policy `all`")
        return self


class NewPatients(Part):
    """Whether the books are open."""

    policy: Literal["open", "limited", "closed"]
    """`limited`: only with practitioners whose `new_patients` is true."""
    type: Id
    """Appointment type of a first visit."""
    note: Words | None = None
    """What the line says about it."""


class Sms(Part):
    """Text messages."""

    sender: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]{2,10}$|^04\d{8}$")
    """Name of 3 to 11 letters and digits that begins with a letter, or a mobile number, that the practice has registered with its provider."""
    gateway: str | None = Field(default=None, pattern=r"^https?://")
    """Where messages are posted; None: they wait in the outbox for another program to take them."""


class Recording(Part):
    """What is kept of a call, and how long (project source book 4.1, 4.2 and 4.6)."""

    audio: Literal["never", "after_notice"]
    """`after_notice`: from the end of the notice on, until the caller says not to record."""
    audio_days: int = Field(default=30, ge=0, le=30)
    """Days for which audio is kept."""
    text_days: int = Field(default=2557, ge=0, le=9500)
    """Days for which transcripts are kept; 2557 are seven years."""
    audit_days: int = Field(default=2557, ge=365, le=9500)
    """Days for which the audit log is kept."""


class Opening(Part):
    """How the line opens a call. The approved greeting comes first and begins with the emergency sentence."""

    greeting: str = "greeting"
    """Id of the approved text."""
    welcome: Annotated[str, StringConstraints(pattern=r"^\D{2,160}$")] | None = None
    """One sentence of the practice's own after it; no digits, since numbers come from tables only."""
    languages: tuple[str, ...] = ()
    """ISO 639 codes of languages in which the line offers an interpreter at once."""


class IdentityCheck(Part):
    """How a caller shows who they are: name, date of birth, and one of `third`."""

    third: tuple[Literal["medicare", "mobile", "street", "postcode"], ...] = Field(
        default=("medicare", "mobile", "street", "postcode"), min_length=1
    )
    """What counts as the third identifier."""
    attempts: int = Field(default=3, ge=1, le=5)
    """Failures after which a call gets nothing more and goes to a person."""
    caller_attempts: int = Field(default=10, ge=1, le=100)
    """Failures within a day from one telephone number after which its calls go to a person. A home with many patients shares one number."""
