"""The routers of everything that is not intake, receipts or health: the resources of a tenant."""

from __future__ import annotations

from leo_activation.api import (
    activation_routes,
    campaign_routes,
    delivery_routes,
    event_rule_routes,
    journey_routes,
    snapshot_routes,
    task_routes,
)

RESOURCE_ROUTERS = (
    snapshot_routes.router,
    activation_routes.router,
    task_routes.router,
    campaign_routes.router,
    event_rule_routes.router,
    journey_routes.router,
    delivery_routes.router,
)
