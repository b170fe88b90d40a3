"""A process that works with an expired credential, for tests of the renewal.

``python -m tests.support.renewal_worker URL TENANT send COUNT`` reads the stored credential, prints
``ready``, waits for a line, sends COUNT messages at once and prints how they ended.
``… stall 0`` renews, prints ``answered`` when the provider has answered, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

from leo_activation.channels.base import ChannelTools, Credential, Message, Renewal
from leo_activation.channels.registry import open_channel
from leo_activation.channels.zalo_oauth import renew_tokens
from leo_activation.database import connect_async, tenant_transaction_async
from leo_activation.delivery.credentials import load_credential
from leo_activation.delivery.token_renewal import make_renewer, renew_credential
from tests.support.campaigns import SECRET_KEY


def zalo_message(tenant_id: str, number: int) -> Message:
    """Return a message with an identity of its own."""
    return Message(
        delivery_id=uuid4(),
        tenant_id=tenant_id,
        address=f"8498{number:07d}",
        subject="",
        text="",
        provider_template={"id": "312345", "tag": "TRANSACTION"},
        data={"customer_name": "An", "order_code": str(number)},
    )


async def stored_credential(url: str, tenant_id: str) -> Credential:
    """Read the tenant's credential, as the application does."""
    connection = await connect_async(url)
    try:
        async with tenant_transaction_async(connection, tenant_id) as cursor:
            return await load_credential(
                cursor, tenant_id=tenant_id, channel="zalo", secret_key=SECRET_KEY
            )
    finally:
        await connection.close()


async def send_many(url: str, tenant_id: str, count: int) -> Counter[str]:
    """Send at once, with the credential of now, when told to."""
    credential = await stored_credential(url, tenant_id)
    renew = make_renewer(database_url=url, secret_key=SECRET_KEY)
    tools = ChannelTools(count, lambda: datetime.now(UTC), lambda: 0.5, renew)
    channel = open_channel(credential, tools)
    print("ready", flush=True)
    sys.stdin.readline()
    outcomes = await asyncio.gather(
        *(channel.send(zalo_message(tenant_id, number)) for number in range(count))
    )
    await channel.close()
    return Counter(outcome.reaction.value for outcome in outcomes)


async def stall(url: str, tenant_id: str) -> None:
    """Renew, and hang between the provider's answer and the commit."""

    async def exchange(credential: Credential) -> Renewal:
        renewal = await renew_tokens(credential)
        print("answered", flush=True)
        await asyncio.Event().wait()
        return renewal

    stale = await stored_credential(url, tenant_id)
    await renew_credential(database_url=url, stale=stale, secret_key=SECRET_KEY, renew=exchange)


def main() -> None:
    """Do what the command line says."""
    url, tenant_id, mode, count = sys.argv[1:]
    if mode == "stall":
        asyncio.run(stall(url, tenant_id))
    else:
        print(json.dumps(asyncio.run(send_many(url, tenant_id, int(count)))), flush=True)


if __name__ == "__main__":
    main()
