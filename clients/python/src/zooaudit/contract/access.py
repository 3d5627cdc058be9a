"""What an API key may do, and how much of that it has used."""

from typing import Annotated, Final, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, omit_none

Role = Literal["read", "submit", "admin"]
ROLES: Final[tuple[Role, ...]] = ("read", "submit", "admin")
"""What a key may do. Each role may do all that those before it may."""


class Allowance(Contract):
    """How much of something a key has used, and how much it may use; a ``limit`` that is absent does not exist."""

    used: Annotated[int, Field(ge=0)]
    limit: Annotated[int | None, Field(ge=0)] = Field(default=None, exclude_if=omit_none)


class Access(Contract):
    """Who the service takes the caller for, and what the caller may do.

    ``name`` is that of the key, and "anonymous" for a caller without one. A key without a name is called by a digest.
    ``unfinished_audits`` are those that the key has asked for and that have not ended; ``images_in_24_h`` are the
    forward images of all audits that it has asked for in the last 24 hours.
    """

    name: str
    role: Role
    unfinished_audits: Allowance
    images_in_24_h: Allowance
