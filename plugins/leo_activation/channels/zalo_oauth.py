"""Zalo's OAuth v4: a pair of tokens is exchanged for a new pair, once.

The access token lives 25 hours. The refresh token lives three months and works a single time, so
an exchange whose answer is lost may have used it up. Source: "Official Account Access Token" of
Zalo's developer documentation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from leo_activation.channels.base import Credential, GrantLostError, Renewal, shorten
from leo_activation.channels.http_clients import NOTHING_LEFT
from leo_activation.errors import RenewalError

log = logging.getLogger(__name__)

DEFAULT_URL = "https://oauth.zaloapp.com"
DEFAULT_TIMEOUT_SECONDS = 15.0
_PATH = "/v4/oa/access_token"
# Too many requests, and closed for the moment.
_SURELY_NOT_DONE = frozenset({429, 503})
# What a refusal carries besides the code, all of it worth a line in the log.
_EXPLANATIONS = ("error_name", "error_reason", "ref_doc", "error_description", "message")


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def renew_tokens(
    credential: Credential, *, clock: Callable[[], datetime] = _utc_now
) -> Renewal:
    """Exchange the refresh token, in one request.

    :param clock: tells the time.
    :raises GrantLostError: Zalo refused, or the answer was lost and the refresh token with it.
    :raises RenewalError: Zalo could not be reached or was busy; nothing was used up.
    """
    settings, secret = credential.settings, credential.secret
    missing = [name for name in ("refresh_token", "app_secret") if not secret.get(name)]
    if missing or not settings.get("app_id"):
        raise GrantLostError(
            f"the Zalo credential lacks {', '.join([*missing] or ['the setting app_id'])}"
        )
    form = {
        "refresh_token": secret["refresh_token"],
        "app_id": str(settings["app_id"]),
        "grant_type": "refresh_token",
    }
    url = str(settings.get("oauth_url", DEFAULT_URL))
    timeout = float(settings.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS))
    try:
        async with httpx.AsyncClient(base_url=url, timeout=timeout) as client:
            response = await client.post(
                _PATH, data=form, headers={"secret_key": secret["app_secret"]}
            )
    except NOTHING_LEFT as error:
        raise RenewalError(f"Zalo's OAuth cannot be reached ({type(error).__name__})") from None
    except httpx.HTTPError as error:
        raise GrantLostError(
            f"Zalo's answer to the token exchange was lost ({type(error).__name__}); the refresh "
            "token may be used up"
        ) from None
    return _read(response, secret, clock())


def _read(response: httpx.Response, secret: Mapping[str, str], now: datetime) -> Renewal:
    """Read the new pair.

    Any other server error leaves open whether the refresh token was used up, and whether Zalo takes
    a second use of it for theft is not documented.
    """
    if response.status_code in _SURELY_NOT_DONE:
        raise RenewalError(f"Zalo's OAuth answered HTTP {response.status_code}")
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise GrantLostError(
            f"Zalo's answer to the token exchange cannot be read (HTTP {response.status_code}); "
            "the refresh token may be used up"
        )
    access, refresh = body.get("access_token"), body.get("refresh_token")
    lifetime = str(body.get("expires_in", ""))
    if not (isinstance(access, str) and access and isinstance(refresh, str) and refresh):
        raise GrantLostError(_refusal(body))
    if not lifetime.isdecimal() or len(lifetime) > 9:
        # The pair is good; when it dies is not known, so the schedule renews it soon.
        log.error("Zalo's token exchange says expires_in %r, which is no number", lifetime[:20])
        lifetime = "0"
    return Renewal(
        {**secret, "access_token": access, "refresh_token": refresh},
        now + timedelta(seconds=int(lifetime)),
    )


def _refusal(body: Mapping[str, Any]) -> str:
    said = [f"{name}={shorten(str(body[name]))}" for name in _EXPLANATIONS if body.get(name)]
    words = f"Zalo refused the token exchange: error {body.get('error')} {' '.join(said)}".strip()
    log.error("%s", words)
    return words
