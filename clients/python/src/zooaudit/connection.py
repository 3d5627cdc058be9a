"""The way to a service: its checked address, the proxy that leads there, the certificates to trust."""

import os
import re
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)
Transport = httpx.BaseTransport | httpx.AsyncBaseTransport


def checked_url(base_url: str) -> httpx.URL:
    """Parse the address of a service. Raises ValueError for what is no such address."""
    shown = repr(re.sub(r"//[^/]*@", "//", base_url))
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{shown} is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        meant = f"http://{base_url}"
        hint = f". Did you mean {meant}?" if "://" not in base_url and _has_host(meant) else ""
        raise ValueError(f"{shown} is not an http:// or https:// URL{hint}")
    if not 0 < (url.port or 80) < 65536:
        raise ValueError(f"{without_password(url)} has no port from 1 to 65535")
    if url.query or url.fragment:
        raise ValueError(f"{without_password(url)} is the address of a page; that of the service ends before ? and #")
    return url


def without_password(url: httpx.URL) -> str:
    """Write a URL for a message, which must not hold a password."""
    return str(url.copy_with(username=None, password=None) if url.userinfo else url)


def proxy_variable(url: httpx.URL) -> str | None:
    """Name the environment's variable whose proxy leads to ``url``, or None if the way is direct.

    A proxy can reach this machine's own loopback least of all, whatever NO_PROXY says.
    """
    if _is_loopback(url.host) or proxy_bypass(f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"):
        return None
    proxies = getproxies()
    scheme = next((scheme for scheme in (url.scheme, "all") if proxies.get(scheme)), None)
    if scheme is None:
        return None
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    return next((name for name in names if name in os.environ), f"the system's setting for {scheme}")


def open_client(make: Callable[..., Http], url: httpx.URL, transport: Transport | None, **settings: object) -> Http:
    """Make an httpx client for the one service at ``url``. Raises ValueError if the environment's proxy or
    certificates cannot be used."""
    if transport is not None:
        return make(base_url=url, transport=transport, trust_env=False, **settings)
    return make(base_url=url, proxy=_proxy(url), verify=_trusted_certificates(), trust_env=False, **settings)


def _proxy(url: httpx.URL) -> httpx.Proxy | None:
    variable = proxy_variable(url)
    if variable is None:
        return None
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies["all"]
    try:
        proxy = httpx.Proxy(address if "://" in address else f"http://{address}")
    except (ValueError, httpx.InvalidURL):  # its message may hold a password
        proxy = None
    if proxy is None or not proxy.url.host:
        raise ValueError(
            f"{variable} is not the address of an HTTP or SOCKS5 proxy: correct or unset it, "
            f"or add {url.host} to NO_PROXY"
        )
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ValueError(
            f"{variable} names a SOCKS proxy, which takes a package that is not installed: pip install 'httpx[socks]', "
            f"or unset {variable}, or add {url.host} to NO_PROXY"
        )
    return proxy


def _trusted_certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        variables = " or ".join(name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ)
        why = error.strerror or str(error)
        raise ValueError(f"the certificates of {variables or 'certifi'} cannot be read: {why}") from None


def _has_host(text: str) -> bool:
    try:
        return bool(httpx.URL(text).host)
    except httpx.InvalidURL:
        return False


def _is_loopback(host: str) -> bool:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
