"""What a receiver of callbacks needs: to know that the service has sent one, and what it says."""

import hmac
import time
from collections.abc import Mapping

from pydantic import ValidationError

from zooaudit.contract.callbacks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from zooaudit.errors import CallbackRefused
from zooaudit.results import Audit


def verify_callback(body: bytes, headers: Mapping[str, str], secret: str, tolerance_s: float = 300.0) -> Audit:
    """Return the audit that a callback tells of, once its signature has been checked.

    ``body`` is the request's body as it came, ``headers`` are its headers, and ``secret`` is the service's
    ZOOAUDIT_CALLBACK_SECRET. Raises :class:`CallbackRefused` for a callback that the service has not signed, or that is
    more than ``tolerance_s`` seconds old or ahead: somebody may have sent it again. The service itself may send one
    twice; both then have the same ``webhook-id``.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = given.get(ID_HEADER, ""), given.get(TIMESTAMP_HEADER, "")
    if not (message_id and timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise CallbackRefused(f"The headers {ID_HEADER} and {TIMESTAMP_HEADER} are missing or cannot be read.")
    expected = signature(secret, message_id, timestamp, body).encode()
    # Every signature is compared, so that the time taken tells nothing about them.
    matches = [hmac.compare_digest(expected, one.encode()) for one in given.get(SIGNATURE_HEADER, "").split(" ")]
    if not any(matches):
        raise CallbackRefused(f"The header {SIGNATURE_HEADER} has no signature that fits the body and the secret.")
    if abs(time.time() - int(timestamp)) > tolerance_s:
        raise CallbackRefused(f"The callback was sent more than {tolerance_s:g} seconds before or after now.")
    try:
        return Audit.model_validate_json(body, extra="ignore")
    except ValidationError:
        raise CallbackRefused("The body is signed, but is no audit that this version of zooaudit can read.") from None
