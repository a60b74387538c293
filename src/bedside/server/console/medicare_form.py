"""Forms for the Medicare and PBS checks, made from the facts that each check takes, so that a new check needs no page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

from bedside.errors import KnowledgeError
from bedside.safety.medicare import CHECKS

Kind = Literal["date", "datetime-local", "number", "text", "choice", "yes-no", "list"]


class FormField(NamedTuple):
    """One fact to be filled in: its name, how, its choices if it has any, and what it means."""

    name: str
    kind: Kind
    choices: tuple[str, ...]
    hint: str

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ")


class MedicareForm(NamedTuple):
    """A check as a form."""

    name: str
    about: str
    fields: tuple[FormField, ...]

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ")


@cache
def form_of(name: str) -> MedicareForm:
    """The form of a check.

    Raises:
        KnowledgeError: there is no such check.
    """
    check = CHECKS.get(name)
    if check is None:
        raise KnowledgeError(f"there is no check {name[:60]!r}", "Choose one from the list")
    properties = check.facts.model_json_schema()["properties"]
    fields = (_field(fact, schema) for fact, schema in properties.items())
    return MedicareForm(name, (check.decide.__doc__ or "").partition("\n")[0], tuple(field for field in fields if field))


def facts_of(form: MedicareForm, given: Mapping[str, str]) -> dict[str, Any]:
    """What was filled in, as the check takes it; empty fields are facts that are not known."""
    kinds = {field.name: field.kind for field in form.fields}
    return {fact: _value(kinds.get(fact, "text"), text.strip()) for fact, text in given.items() if text.strip()}


def _value(kind: Kind, text: str) -> Any:
    if kind == "yes-no":
        return {"yes": True, "no": False}.get(text, text)
    if kind == "list":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _field(name: str, schema: Mapping[str, Any]) -> FormField | None:
    """The field of one fact; None for a table, which no form can take."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    types = {option.get("type") for option in options}
    hint = schema.get("description", "")
    if "object" in types:
        return None
    if choices := tuple(str(choice) for option in options for choice in option.get("enum", ())):
        return FormField(name, "choice", choices, hint)
    formats = {option.get("format") for option in options}
    if "array" in types:
        kind: Kind = "list"
    elif "boolean" in types:
        kind = "yes-no"
    elif "date" in formats:
        kind = "date"
    elif "date-time" in formats:
        kind = "datetime-local"
    else:
        kind = "number" if types <= {"number", "integer"} else "text"
    return FormField(name, kind, (), hint)
