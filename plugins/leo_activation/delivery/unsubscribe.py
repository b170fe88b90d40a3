"""One-click unsubscribe (RFC 8058): a link that names one delivery and cannot be forged."""

from __future__ import annotations

from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer

from leo_activation.errors import LeoError


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
