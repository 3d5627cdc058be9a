"""Callbacks: which URLs may be told of an audit's end, and how what they are told is signed.

Headers and signature are those of the Standard Webhooks specification (https://www.standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import hmac
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
LEAST_KEY_BYTES = 24


def callback_url(value: str) -> str:
    """Check the form of a URL that is to be told of an audit's end. Raises ValueError, whose message does not repeat
    the URL."""
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("a callback URL holds visible ASCII characters only; encode others with percent signs")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("the host or the port of the callback URL cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("a callback URL begins with https:// or http://")
    if not parts.hostname or port == 0 or not re.fullmatch(r"[a-z0-9._:%-]+", parts.hostname):
        raise ValueError("the callback URL names no host that can be reached")
    if "@" in parts.netloc or "\\" in value:
        raise ValueError("a callback URL holds no user name and no password; the signature says who calls")
    if parts.fragment:
        raise ValueError("a callback URL has no part after '#'")
    return value


CallbackUrl = Annotated[str, Field(max_length=2048), AfterValidator(callback_url)]


def signing_key(secret: str) -> bytes:
    """Return the key that a secret stands for: base64, with or without ``whsec_`` before it. Raises ValueError, whose
    message does not repeat the secret."""
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64; make one with: openssl rand -base64 32") from None
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"it has fewer than {LEAST_KEY_BYTES} bytes; make one with: openssl rand -base64 32")
    return key


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Sign a message. The same message under another time has another signature."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode()
