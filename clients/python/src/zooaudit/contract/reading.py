"""What a report says in plain sentences."""

from typing import Annotated

from pydantic import Field

from zooaudit.contract.base import Contract


class Statement(Contract):
    """A sentence or two, and the term of which they speak: a key of TERMS with its ``anchor`` in docs/method.md."""

    text: str
    term: str
    anchor: str


class Reading(Contract):
    """A report in words: what its numbers say, and what to beware of before they are quoted or compared."""

    sentences: Annotated[tuple[Statement, ...], Field(description="What the numbers say, the most important first.")]
    warnings: Annotated[tuple[Statement, ...], Field(description="Each says what is wrong and what to do.")]
