"""Google's OAuth token endpoint: a signed assertion in, an access token out."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import jwt

from sandbox.http_server import Request, Response

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
# google-auth names this audience whatever the service account's token_uri says.
AUDIENCE = "https://oauth2.googleapis.com/token"


def _refusal(description: str, error: str = "invalid_grant", status: int = 400) -> Response:
    return Response({"error": error, "error_description": description}, status=status)


@dataclass
class TokenEndpoint:
    """Hands out access tokens and knows which of them are alive.

    :param public_key: PEM of the service account's key; None takes any signature.
    :param expires_in: seconds that a token lives.
    """

    public_key: str | None
    expires_in: float
    requests: int = 0
    _alive_until: dict[str, float] = field(default_factory=dict)

    def grant(self, request: Request) -> Response:
        """Exchange a signed assertion for a token.

        :param request: the form that the client posted.
        """
        self.requests += 1
        form = dict(parse_qsl(request.body.decode()))
        if form.get("grant_type") != GRANT_TYPE:
            return _refusal("Invalid grant_type", "unsupported_grant_type")
        try:
            claims = self._claims(form.get("assertion", ""))
        except jwt.InvalidTokenError as error:
            return _refusal(f"Invalid JWT: {error}")
        if SCOPE not in str(claims.get("scope", "")).split():
            return _refusal("Invalid OAuth scope or ID token audience provided.", "invalid_scope")
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self._alive_until[token] = time.monotonic() + self.expires_in
        return Response(
            {
                "access_token": token,
                "expires_in": max(int(self.expires_in) - 1, 0),
                "token_type": "Bearer",
            }
        )

    def _claims(self, assertion: str) -> dict[str, Any]:
        # The test's clock may differ from this one by a little; Google allows it too.
        if self.public_key is None:
            return dict(jwt.decode(assertion, options={"verify_signature": False}))
        return dict(
            jwt.decode(
                assertion,
                self.public_key,
                algorithms=["RS256"],
                audience=AUDIENCE,
                leeway=30,
                options={"require": ["iss", "aud", "iat", "exp"]},
            )
        )

    def knows(self, authorization: str) -> bool:
        """Tell whether a request may pass.

        :param authorization: the header's value.
        """
        kind, _, token = authorization.partition(" ")
        return kind == "Bearer" and self._alive_until.get(token, 0.0) > time.monotonic()

    def handle(self, request: Request) -> Response:
        """Answer a control request: ``GET`` counts, ``DELETE`` revokes all, ``PUT`` sets the life.

        :param request: to ``/tokens``.
        """
        if request.method == "DELETE":
            self._alive_until.clear()
        elif request.method == "PUT":
            self.expires_in = float(request.json()["expires_in"])
        return Response({"requests": self.requests, "alive": len(self._alive_until)})
