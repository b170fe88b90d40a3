"""The documentation of ``POST /events``, whose body is read without pydantic for its speed."""

from __future__ import annotations

from typing import Any

_EVENT: dict[str, Any] = {
    "type": "object",
    "title": "Event",
    "additionalProperties": False,
    "required": ["ext_id", "event_type", "occurred_at"],
    "properties": {
        "ext_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 254,
            "description": "The customer: the key of the profile in LEO CDP.",
        },
        "event_type": {
            "type": "string",
            "pattern": "^[a-z][a-z0-9_-]{0,63}$",
            "description": "What happened. `campaign_targeted` and `agent_activated` are taken.",
        },
        "occurred_at": {
            "type": "string",
            "format": "date-time",
            "description": "When, with a zone (RFC 3339); not before 2000, and at most 5 minutes "
            "ahead of the platform's clock.",
        },
        "payload": {
            "type": "object",
            "description": "Anything about it. `value_vnd` is the amount of a purchase in đồng. An "
            "event has at most 32 KiB.",
            "default": {},
        },
        "event_key": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 255,
            "description": "Your own id of the event. Without it a single event is named by the "
            "header Idempotency-Key, otherwise by its content.",
        },
        "source": {
            "type": ["string", "null"],
            "pattern": "^[a-z][a-z0-9_-]{0,39}$",
            "description": "Which of your systems says so; event keys are unique within it.",
        },
    },
}
_EXAMPLE = {
    "ext_id": "kh-1024",
    "event_type": "cart_left",
    "occurred_at": "2026-11-23T09:30:00+07:00",
    "event_key": "cart-88213",
    "payload": {"value_vnd": 1250000, "items": 3},
}
_ITEM = {
    "type": "object",
    "required": ["index", "status", "event_id"],
    "properties": {
        "index": {"type": "integer"},
        "line": {"type": "integer", "description": "Of NDJSON, for what was rejected."},
        "status": {"enum": ["accepted", "duplicate", "conflict", "rejected"]},
        "event_id": {"type": ["string", "null"], "format": "uuid"},
        "reason": {"type": "string"},
        "what": {"type": "string"},
        "value": {"type": ["string", "null"]},
        "action": {"type": ["string", "null"]},
    },
}
_BATCH = {
    "type": "object",
    "title": "BatchAnswer",
    "required": ["accepted", "duplicate", "conflict", "rejected", "items"],
    "properties": {
        **{name: {"type": "integer"} for name in ("accepted", "duplicate", "conflict", "rejected")},
        "items": {"type": "array", "items": _ITEM},
    },
}
_SINGLE = {
    "type": "object",
    "title": "EventAnswer",
    "required": ["event_id", "status"],
    "properties": {
        "event_id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["accepted", "duplicate"]},
    },
}
_ID = "0b9c6c1e-6b1f-8a53-9d3c-5a8f0f4f9a11"

POST_EVENTS: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Names a single event that has no event_key.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [_EVENT, {"type": "array", "items": _EVENT, "maxItems": 10000}]
                },
                "examples": {
                    "one event": {"value": _EXAMPLE},
                    "a batch": {
                        "value": [
                            _EXAMPLE,
                            {
                                "ext_id": "kh-7",
                                "event_type": "purchase",
                                "occurred_at": "2026-11-23T02:31:00Z",
                                "event_key": "order-5530",
                                "source": "pos",
                                "payload": {"value_vnd": 420000},
                            },
                        ]
                    },
                },
            },
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "One event a line."}
            },
        },
    },
    "responses": {
        "200": {
            "description": "A batch, every event with its own answer; or one event that was there.",
            "content": {
                "application/json": {
                    "schema": {"anyOf": [_BATCH, _SINGLE]},
                    "examples": {
                        "a batch": {
                            "value": {
                                "accepted": 1,
                                "duplicate": 0,
                                "conflict": 0,
                                "rejected": 1,
                                "items": [
                                    {"index": 0, "status": "accepted", "event_id": _ID},
                                    {
                                        "index": 1,
                                        "status": "rejected",
                                        "event_id": None,
                                        "reason": "unknown_profile",
                                        "what": "there is no customer with this ext_id",
                                        "value": "kh-7",
                                        "action": "use the id of the customer's profile in LEO CDP",
                                    },
                                ],
                            }
                        }
                    },
                }
            },
        },
        "201": {
            "description": "One event that is new.",
            "content": {
                "application/json": {
                    "schema": _SINGLE,
                    "example": {"event_id": _ID, "status": "accepted"},
                }
            },
        },
    },
}
