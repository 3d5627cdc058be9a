"""Where callbacks may go: to public addresses, and to hosts that the operator has allowed.

The address is checked when the connection is made, and the connection goes to that very address. So a name that led to
a public address when it was looked at, and leads to this machine a moment later, gains nothing.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

import httpcore

from service.errors import refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenAddress(Exception):
    """A callback's host leads to an address that callbacks may not go to."""


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses that a host has now. Raises OSError when it has none."""
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(text: str) -> bool:
    """Tell whether anybody on the internet could reach this address.

    >>> [is_public(address) for address in ("93.184.215.14", "10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254")]
    [True, False, False, False]
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    return all(
        one.is_global and not one.is_multicast and not one.is_reserved and not getattr(one, "is_site_local", False)
        for one in _meant_by(address)
    )


def refuse_private(url: str, allowed: Collection[str]) -> None:
    """Refuse with 422 a URL that says itself that it leads to no public address. Names are looked up later, when the
    connection is made."""
    host = _host_of(url)
    if host in allowed:
        return
    address = _as_address(host)
    local_name = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    if local_name or (address is not None and not is_public(address)):
        detail = (
            "The callback_url leads to this machine or into a private network. Name a public host, or have the "
            "operator add the host to ZOOAUDIT_CALLBACK_PRIVATE."
        )
        raise refused("callback-refused", detail)


class CheckedNetwork(httpcore.NetworkBackend):
    """Makes connections for one callback, to public addresses only unless ``private``, and none of it after
    ``limit_s``: a receiver that sends a byte now and then must not hold its sender."""

    def __init__(self, private: bool, limit_s: float, resolve: Resolve = resolve) -> None:
        self._network = httpcore.SyncBackend()
        self._private = private
        self._ends_at = time.monotonic() + limit_s
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._look_up(host, port, _left(self._ends_at, timeout))
        except TimeoutError:
            raise httpcore.ConnectTimeout("the host's address was not found in time") from None
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the host has no address: {error}") from None
        # A name with one private address beside public ones is refused, too: nobody needs such a name.
        if not self._private and not all(map(is_public, addresses)):
            raise ForbiddenAddress
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in addresses:
            try:
                stream = self._network.connect_tcp(
                    address, port, _left(self._ends_at, timeout), local_address, socket_options
                )
                return _TimedStream(stream, self._ends_at)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _look_up(self, host: str, port: int, limit_s: float) -> list[str]:
        """Resolve the host. Raises TimeoutError after ``limit_s``."""
        found: Future[list[str]] = Future()

        def resolve() -> None:
            try:
                found.set_result(self._resolve(host, port))
            except Exception as error:
                found.set_exception(error)

        # The C library's look-up takes no time limit, so it is left behind in a thread that ends when it does.
        threading.Thread(target=resolve, name="look-up", daemon=True).start()
        return found.result(limit_s)


class _TimedStream(httpcore.NetworkStream):
    """A connection of which every step ends by a time."""

    def __init__(self, stream: httpcore.NetworkStream, ends_at: float) -> None:
        self._stream = stream
        self._ends_at = ends_at

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._ends_at, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._ends_at, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._ends_at, timeout))
        return _TimedStream(stream, self._ends_at)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(ends_at: float, timeout: float | None) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the receiver took too long")
    return left if timeout is None else min(left, timeout)


def _meant_by(address: Address) -> list[Address]:
    """Return the address, and those of IPv4 that it may be another form of."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    embedded: list[Address] = [last] if address in NAT64 or int(address) >> 32 == 0 else []
    if address.sixtofour:
        embedded.append(address.sixtofour)
    return [*([address] if address not in NAT64 else []), *embedded, *(address.teredo or ())]


def _host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


def _as_address(host: str) -> str | None:
    """Read a host that is a number, also as 2130706433, 0x7f.1 or 127.1; None for a name."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
