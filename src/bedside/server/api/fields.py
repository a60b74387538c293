"""What the bodies of requests have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bedside.server.problems import ProblemError
from bedside.server.settings import LimitSettings

ID = "Counts the items of a request from 1."


def _writable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half a character") from error
    return text


Text = Annotated[str, AfterValidator(_writable)]
Words = Annotated[str, Field(min_length=1), AfterValidator(_writable)]


class Strict(BaseModel):
    """A body, or a part of one, in which nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TextsRequest(Strict):
    """One text, or several in one request."""

    text: Text | None = None
    texts: list[Text] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> TextsRequest:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either text or texts")
        return self

    @property
    def all(self) -> list[str]:
        """Every text."""
        return self.texts if self.texts is not None else [self.text or ""]

    @property
    def where(self) -> str:
        """JSON pointer of the field that they came in."""
        return "/text" if self.texts is None else "/texts"


def refuse_too_much(texts: Sequence[str], limits: LimitSettings, where: str) -> None:
    """Refuse more items, or a longer one, than the settings allow: rules read every word, so that a long text takes the time of many.

    Args:
        texts: the items.
        where: JSON pointer of the field that they came in.

    Raises:
        ProblemError: 400, in the form of every invalid request.
    """
    longest = max(map(len, texts))
    if len(texts) > limits.texts:
        detail = f"{len(texts)} items; at most {limits.texts} are taken at a time"
    elif longest > limits.letters:
        detail = f"a text of {longest} letters; at most {limits.letters} are read"
    else:
        return
    raise ProblemError(400, "invalid_request", f"{where}: {detail}", errors=[{"pointer": where, "detail": detail}])
