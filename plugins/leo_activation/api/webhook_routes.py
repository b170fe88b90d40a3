"""Where providers report. Their signature is the authentication; no API key is asked for."""

from __future__ import annotations

import logging
from typing import Literal

from fastapi import APIRouter, Request, Response

from leo_activation.api.problems import Problem
from leo_activation.api.routing import problem_responses
from leo_activation.api.services import ApiServices
from leo_activation.channels.base import SignatureError
from leo_activation.delivery.feedback import accept_webhook
from leo_activation.errors import ConfigurationError, LeoError, UnknownTenantError

LOG = logging.getLogger(__name__)
# Bytes of reports that are read or wait at a time.
MAX_REPORT_BYTES = 64 * 1024 * 1024
router = APIRouter(tags=["webhooks"])
Channel = Literal["zalo", "email", "push", "telegram"]


@router.post(
    "/webhooks/{tenant}/{channel}",
    responses=problem_responses(400, 401, 413, 415, 422, 429, 503),
    openapi_extra={
        "requestBody": {
            "description": "What the provider posts, byte for byte as it signed it.",
            "content": {"application/json": {"schema": {}}},
        }
    },
)
async def receive_webhook(tenant: str, channel: Channel, request: Request) -> Response:
    """Take a report of the tenant's provider: Zalo, SendGrid, Telegram.

    Everything that the provider signed is answered 200 when it is stored, a repeated report too.
    """
    services: ApiServices = request.app.state.services
    try:
        # Who posts is known only when the body is read: strangers share so much of the memory.
        with request.app.state.reports.hold(request.scope):
            body = await request.body()
            report = await services.run_briefly(
                accept_webhook,
                tenant,
                channel,
                dict(request.headers),
                body,
                services.secret_key,
                now=services.clock(),
            )
    except (SignatureError, ConfigurationError, UnknownTenantError) as error:
        # One answer, so that nobody learns which tenants and channels there are.
        LOG.warning("webhook of %r for channel %r refused: %s", tenant[:40], channel, error)
        raise Problem(
            401, "unverified", "the report is not signed by the provider of this address",
            action="compare the address and the secrets with `leo channel`; docs/channels.md says "
            "what each provider needs",
        ) from None  # fmt: skip
    except LeoError as error:
        # Signed and unreadable: the same bytes again would not help, so they are not asked for.
        LOG.error("webhook of tenant %s, channel %s: %s", tenant, channel, error)
    else:
        LOG.info("webhook of tenant %s, channel %s: %s", tenant, channel, report)
    return Response(b"{}", media_type="application/json")
