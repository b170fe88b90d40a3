"""OAuth v4 of Zalo: rotating pairs of tokens, each refresh token good for one use."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

USED_REFRESH_TOKEN = -14014
# Uncertain: Zalo's numbers for a wrong app or a wrong secret.
WRONG_APP = -14002


@dataclass(slots=True)
class Grant:
    """What one official account has granted to one app.

    :param expires_in: life of an access token in seconds.
    :param access_token: the newest one.
    :param refresh_token: the only one that works.
    """

    oa_id: str = "2001"
    app_id: str = "1001"
    app_secret: str = "app-secret"  # noqa: S105 - of a stand-in
    access_token: str = "access-0"  # noqa: S105
    refresh_token: str = "refresh-0"  # noqa: S105
    expires_in: float = 90_000.0
    # Access token -> when it dies.
    alive: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Let the first access token live."""
        self.alive[self.access_token] = time.monotonic() + self.expires_in

    def accepts(self, access_token: str) -> bool:
        """Tell whether an access token works now."""
        return self.alive.get(access_token, 0.0) > time.monotonic()

    def rotate(self) -> None:
        """Replace the pair; older access tokens live to their end."""
        self.access_token = f"access-{secrets.token_hex(24)}"
        self.refresh_token = f"refresh-{secrets.token_hex(24)}"
        self.alive[self.access_token] = time.monotonic() + self.expires_in

    def document(self) -> dict[str, Any]:
        """Return what the control API shows."""
        return {
            "oa_id": self.oa_id,
            "app_id": self.app_id,
            "app_secret": self.app_secret,
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_in": self.expires_in,
        }


class Grants:
    """All grants, and how often the token endpoint was asked."""

    def __init__(self) -> None:
        """Start with one grant that everybody knows."""
        self.reset([{}])

    def reset(self, documents: list[dict[str, Any]]) -> None:
        """Put these grants in force, drop all others and count from zero.

        :param documents: fields of :class:`Grant`.
        """
        self._grants = [Grant(**document) for document in documents]
        self.refreshes = 0
        self.refused = 0

    def expire(self, oa_id: str | None = None) -> None:
        """Let all access tokens die now.

        :param oa_id: only those of this account.
        """
        for grant in self._grants:
            if oa_id in (None, grant.oa_id):
                grant.alive.clear()

    def owner_of(self, access_token: str) -> Grant | None:
        """Return the grant whose access token this is, if it works."""
        return next((grant for grant in self._grants if grant.accepts(access_token)), None)

    def exchange(self, form: dict[str, str], app_secret: str) -> dict[str, Any]:
        """Answer the token endpoint.

        :param form: the form fields of the request.
        :param app_secret: its ``secret_key`` header.
        """
        app_id = form.get("app_id")
        apps = [grant for grant in self._grants if grant.app_id == app_id]
        if form.get("grant_type") != "refresh_token":
            return self.refuse(WRONG_APP, "Invalid grant type", "grant_type is not supported")
        if not any(grant.app_secret == app_secret for grant in apps):
            return self.refuse(WRONG_APP, "Invalid app", "app_id or secret_key is wrong")
        for grant in apps:
            if grant.refresh_token == form.get("refresh_token") and grant.app_secret == app_secret:
                grant.rotate()
                self.refreshes += 1
                return {
                    "access_token": grant.access_token,
                    "refresh_token": grant.refresh_token,
                    "expires_in": str(int(grant.expires_in)),
                }
        return self.refuse(
            USED_REFRESH_TOKEN, "Invalid refresh token", "refresh_token is used or expired"
        )

    def refuse(self, code: int, name: str, reason: str) -> dict[str, Any]:
        """Return a refusal in Zalo's form, and count it."""
        self.refused += 1
        return {
            "error": code,
            "error_name": name,
            "error_reason": reason,
            "error_description": reason,
            "ref_doc": "https://developers.zalo.me/docs/official-account/phu-luc/ma-loi",
        }

    def document(self) -> dict[str, Any]:
        """Return what the control API shows."""
        return {
            "refreshes": self.refreshes,
            "refused": self.refused,
            "grants": [grant.document() for grant in self._grants],
        }
