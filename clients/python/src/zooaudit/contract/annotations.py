"""What people write on an audit: labels, a note, and whether it is archived. No part of the request or the report."""

import unicodedata
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from zooaudit.contract.base import Contract, omit_empty, omit_none
from zooaudit.contract.mistakes import else_said

MAX_LABELS: Final = 20
KEEP: Final = "keep"
"""The label of audits that are never removed by age or number."""


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(labels))


def _plain_text(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
        raise ValueError("it holds control characters; write plain text")
    return text.strip()


Label = Annotated[
    str,
    StringConstraints(pattern=r"^\w[\w.:/+-]*$", max_length=40),
    else_said("a label: a word of at most 40 letters, digits and the signs . : / + - _"),
]
"""A word of letters, digits and the signs . : / + - _; upper and lower case differ."""
Labels = Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS), AfterValidator(_distinct)]
Note = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_plain_text)]
"""Plain text of some lines."""

Archived = Literal["false", "true", "any"]
"""Which audits a list has: those that are not archived, those that are, or all."""


class Annotations(Contract):
    """What is written on one audit."""

    labels: Labels = Field(default=(), exclude_if=omit_empty)
    note: Note = Field(default="", exclude_if=omit_empty)
    archived: bool = Field(default=False, exclude_if=omit_empty)


class AnnotationsChange(Contract):
    """What to write on an audit; what is absent or null stays as it is. An empty list removes all labels, an empty text
    the note."""

    labels: Labels | None = Field(default=None, exclude_if=omit_none)
    note: Note | None = Field(default=None, exclude_if=omit_none)
    archived: bool | None = Field(default=None, exclude_if=omit_none)

    def applied_to(self, before: Annotations) -> Annotations:
        """Return what is written on the audit afterwards."""
        return before.model_copy(update=self.model_dump(exclude_none=True))
