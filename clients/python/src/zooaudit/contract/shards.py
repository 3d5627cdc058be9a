"""How an audit is shared out over workers, while it runs."""

from typing import Annotated, Literal

from pydantic import Field

from zooaudit.contract.base import Contract, omit_none

Count = Annotated[int, Field(ge=0)]


class Shard(Contract):
    """Some transforms of an audit, which one worker measures on all images in one pass.

    ``baseline_seed``  of the untrained baseline that is measured; absent for the weights that the audit is about
    ``transforms``     as people read them: "4 px", "4 px zero" (the border, if the audit has several), "90°"
    ``worker``         the machine and the process that measures it, or has measured it
    ``done``           forward images so far, of ``total``
    """

    baseline_seed: Annotated[int | None, Field(ge=0)] = Field(default=None, exclude_if=omit_none)
    transforms: tuple[str, ...]
    worker: str
    device: str
    state: Literal["measuring", "done"]
    done: Count
    total: Count


class Sharing(Contract):
    """Who measures what of a running audit, as far as it has been taken.

    ``shards``    those that are measured now or have been, in the order in which they were taken
    ``waiting``   how many transforms, of the audited weights and of each baseline seed, no worker has taken yet
    ``workers``   how many workers take part now
    ``repeated``  forward images that were measured for nothing, since a worker died or gave transforms away
    """

    shards: tuple[Shard, ...]
    waiting: Count
    workers: Count
    repeated: Count
