"""What the service says of itself, and of a caller's key."""

from zooaudit.contract import Access, Health
from zooaudit.exchange import Exchange, Flow, parse


def access(service: Exchange) -> Flow[Access]:
    return parse(Access, (yield from service.send("GET", "/key")))


def health(service: Exchange) -> Flow[Health]:
    return parse(Health, (yield from service.send("GET", "/health")))
