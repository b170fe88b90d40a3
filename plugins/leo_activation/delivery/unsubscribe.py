"""One-click unsubscribe (RFC 8058): a link that names one delivery and cannot be forged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer
from psycopg.types.json import Jsonb

from leo_activation.database import Connection, tenant_transaction
from leo_activation.errors import LeoError
from leo_activation.queries import load_queries

SQL = load_queries("feedback")


class UnsubscribeTokenError(LeoError):
    """The token was not made by this installation."""


class UnsubscribeLinks:
    """Makes and reads the links.

    :param secret_key: the installation's key; tokens use a key of their own derived from it.
    :param base_url: public HTTPS address that answers them.
    """

    def __init__(self, secret_key: str, base_url: str) -> None:
        """Derive the key of the links."""
        self._serializer = URLSafeSerializer(secret_key, salt="leo.unsubscribe.v1")
        self._base_url = base_url.rstrip("/")

    def link(self, tenant_id: str, delivery_id: UUID) -> str:
        """Return the address to put into a message."""
        token = self._serializer.dumps([tenant_id, delivery_id.hex])
        return f"{self._base_url}/{token}"

    def read(self, token: str) -> tuple[str, UUID]:
        """Return the tenant and delivery of a token.

        :raises UnsubscribeTokenError: it was forged, cut or made with another key.
        """
        try:
            tenant_id, delivery = self._serializer.loads(token)
        except BadSignature:
            raise UnsubscribeTokenError("this unsubscribe link is not valid") from None
        return str(tenant_id), UUID(hex=delivery)


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """What a click on the link of a message did.

    :param address: gets nothing more on ``channel``.
    :param wants_confirmation: whether this click is the one that may be confirmed: the law wants
        exactly one confirmation, so a second click asks for none.
    """

    tenant_id: str
    delivery_id: UUID
    channel: str
    address: str
    wants_confirmation: bool


def unsubscribe(
    connection: Connection, token: str, *, secret_key: str, now: datetime
) -> Unsubscription:
    """Take the customer's no at once: a refusal in the consent ledger, and the address stopped.

    The same click again adds nothing. The caller answers POST only: mail scanners follow links.

    :param connection: as the application.
    :param token: the end of the link.
    :param secret_key: the installation's key.
    :param now: when the customer clicked.
    :raises UnsubscribeTokenError: the token was not made by this installation, or names no message.
    """
    tenant_id, delivery_id = UnsubscribeLinks(secret_key, "").read(token)
    keys = {"tenant_id": tenant_id, "delivery_id": delivery_id}
    with tenant_transaction(connection, tenant_id) as cursor:
        found = cursor.execute(SQL.lock_delivery, keys).fetchone()
        if found is None or found["address"] is None:
            raise UnsubscribeTokenError("this unsubscribe link names no message")
        said = {
            "kind": "unsubscribed",
            "delivery_id": str(delivery_id),
            "occurred_at": now.isoformat(),
        }
        evidence = {**said, "confirmation": "wanted"}
        cursor.execute(SQL.record_unsubscribe, {**keys, **found, "evidence": Jsonb(evidence)})
        is_new = cursor.rowcount > 0
        refusal = {
            "address": found["address"],
            "scope": "all",
            "kind": "unsubscribed",
            "profile_id": str(found["profile_id"]),
            "reason": "unsubscribed",
            "occurred_at": now.isoformat(),
            "evidence": said,
        }
        cursor.execute(SQL.suppress, {**keys, **found, "refusals": Jsonb([refusal])})
    return Unsubscription(tenant_id, delivery_id, found["channel"], found["address"], is_new)
