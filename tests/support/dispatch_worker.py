"""A dispatcher in a process of its own, to be killed.

``python -m tests.support.dispatch_worker URL TENANT SNAPSHOT CHANNEL LEASE_SECONDS``
"""

from __future__ import annotations

import json
import sys
from uuid import UUID

from leo_activation.delivery.dispatcher import DispatchOptions, dispatch_channel
from tests.support.campaigns import SECRET_KEY


def main() -> None:
    """Dispatch once and print the report."""
    url, tenant_id, snapshot_id, channel, lease = sys.argv[1:]
    options = DispatchOptions(
        concurrency=8,
        lease_seconds=float(lease),
        send_timeout_seconds=float(lease) / 3,
        patience_seconds=float(lease) + 5,
    )
    report = dispatch_channel(
        url, tenant_id, UUID(snapshot_id), channel, "worker", SECRET_KEY, options=options
    )
    print(json.dumps({"outcomes": dict(report.outcomes), "stopped": report.stopped}))


if __name__ == "__main__":
    main()
