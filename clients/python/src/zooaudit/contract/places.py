"""Places in the queue: where an audit waits, and the script that puts its id there.

The queue is one Redis list, from whose left end the workers take ids. It is sorted by the audits' places, numbers of
which lower ones come first.
"""

from zooaudit.contract.cost import forward_images_of
from zooaudit.contract.request import AuditRequest, Priority

RANKS: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}
RANK_S = 1e11
"""The distance between two ranks: more seconds than any audit can make up for by age or brevity."""
OVERTAKEN_S = 10
"""An audit overtakes those that were accepted up to this many times the difference of their lengths before it: a short
one does not wait behind a hundred long ones, and a long one does not wait for ever."""
UNKNOWN_IMAGES_PER_S = 20
"""The speed by which an audit has its place if nothing like it has been measured: that of a middle-sized model on the
slowest worker, a CPU of two cores. So an audit of unknown length may wait too long, but keeps no short one waiting."""


def place_of(request: AuditRequest, accepted_at_s: float, estimated_s: float | None) -> float:
    """Return the place of an audit that was accepted at this time, in seconds since 1970, and is estimated to take so
    long; None if nobody knows how long.

    >>> short, long = AuditRequest(model="a", num_images=10), AuditRequest(model="a", priority="high")
    >>> place_of(short, 100.0, 2.0), place_of(short, 100.0, None), place_of(long, 100.0, 2.0)
    (100000000120.0, 100000000280.0, 120.0)
    """
    length_s = forward_images_of(request) / UNKNOWN_IMAGES_PER_S if estimated_s is None else estimated_s
    return RANKS[request.priority] * RANK_S + accepted_at_s + OVERTAKEN_S * length_s


# From the right end, where most belong: of a long queue, few places are read. An id without a place is from before
# there were places; it goes to the front, and whatever is there already stays before it.
INSERT = """
local function insert(queue, id, state_prefix)
  local function place_of(other)
    return tonumber(redis.call('HGET', state_prefix .. other, 'place') or '') or -math.huge
  end
  local place = place_of(id)
  local last = redis.call('LLEN', queue) - 1
  while place > -math.huge and last >= 0 do
    local others = redis.call('LRANGE', queue, math.max(0, last - 49), last)
    for index = #others, 1, -1 do
      if place_of(others[index]) <= place then
        return redis.call('LINSERT', queue, 'AFTER', others[index], id)
      end
    end
    last = last - #others
  end
  return redis.call('LPUSH', queue, id)
end
"""
"""Lua: the function ``insert(queue, id, state_prefix)``, which puts an id into the queue at its place. The prefix is
``state_key("")``."""
MOVE_TO_PLACE = f"""{INSERT}
if redis.call('LREM', KEYS[1], 0, ARGV[1]) == 0 then return 0 end
return insert(KEYS[1], ARGV[1], ARGV[2])
"""
"""Lua script: move an id that is in the queue KEYS[1] to its place. ARGV has the id and ``state_key("")``. It does
nothing if the id is not there, since a worker may have taken it."""
