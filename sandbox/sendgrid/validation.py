"""What SendGrid demands of a request to ``/v3/mail/send``, and the words of its refusals.

Twilio Docs: "Mail Send", its "Errors" and its "Limitations".
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

MOST_PERSONALIZATIONS = 1000
MOST_CATEGORIES = 10
LONGEST_CATEGORY = 255
CUSTOM_ARGS_BYTES = 10_000
SUBSTITUTION_BYTES = 10_000
LATEST_SEND = 72 * 3600
RESERVED_HEADERS = frozenset(
    {
        "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type",
        "content-transfer-encoding", "to", "from", "subject", "reply-to", "cc", "bcc",
    }
)  # fmt: skip
_EMAIL = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+\.[^\s@,;<>\".]+")
_TEMPLATE = re.compile(r"(d-[0-9a-zA-Z]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})")

Problem = tuple[str, str | None]


def problems(payload: Any) -> list[Problem]:
    """Return what is wrong with a request, as (message, field); nothing when it is right.

    :param payload: parsed body.
    """
    if not isinstance(payload, dict):
        return [("Bad Request", None)]
    return [*_whole(payload), *_recipients(payload)]


def _whole(payload: dict[str, Any]) -> Iterator[Problem]:
    yield from _sender(payload)
    yield from _content(payload)
    categories = payload.get("categories", [])
    if len(categories) > MOST_CATEGORIES:
        yield "You may not have more than 10 categories.", "categories"
    if any(not isinstance(c, str) or len(c) > LONGEST_CATEGORY for c in categories):
        yield "A category must be a string of at most 255 characters.", "categories"
    yield from _send_at(payload, "send_at")


def _sender(payload: dict[str, Any]) -> Iterator[Problem]:
    sender = payload.get("from")
    if not isinstance(sender, dict) or "email" not in sender:
        yield (
            "The from object must be provided for every email send. It is an object that requires "
            "the email parameter, but may also contain a name parameter.",
            "from.email",
        )
        return
    email = str(sender["email"])
    if not _EMAIL.fullmatch(email) or not email.isascii():
        yield "Does not contain a valid address.", "from.email"
    if set(str(sender.get("name", ""))) & {";", ","}:
        yield "The name may not contain ';' or ','.", "from.name"


def _content(payload: dict[str, Any]) -> Iterator[Problem]:
    template = payload.get("template_id")
    if template is not None and not _TEMPLATE.fullmatch(str(template)):
        yield f"The template_id must be a valid GUID, you provided '{template}'.", "template_id"
    content = payload.get("content", [])
    if template is None and not content:
        yield (
            "Unless a valid template_id is provided, the content parameter is required. There must "
            "be at least one defined content block.",
            "content",
        )
    for place, part in enumerate(content):
        if not isinstance(part.get("value"), str) or not part["value"]:
            yield (
                "The content value must be a string at least one character in length.",
                f"content.{place}.value",
            )
    kinds = [part.get("type") for part in content]
    if kinds != sorted(kinds, key=["text/plain", "text/html"].index):
        yield "If present, text/plain must be first, followed by text/html.", "content"
    subjects = [p.get("subject") for p in payload.get("personalizations") or [{}]]
    if template is None and not payload.get("subject") and not all(subjects):
        yield (
            "The subject is required. You can get around this requirement if you use a template "
            "with a subject defined or if every personalization has a subject defined.",
            "subject",
        )


def _recipients(payload: dict[str, Any]) -> Iterator[Problem]:
    people = payload.get("personalizations") or []
    if not people:
        yield "You must have at least one personalization.", "personalizations"
    if len(people) > MOST_PERSONALIZATIONS:
        yield (
            f"The personalization block is limited to {MOST_PERSONALIZATIONS} personalizations per "
            f"API request. You have provided {len(people)} personalizations. Please consider "
            "splitting this into multiple requests and resending your request.",
            "personalizations",
        )
    addresses = [str(to.get("email", "")) for p in people for to in _everybody(p)]
    if len(addresses) > MOST_PERSONALIZATIONS:
        yield (
            "There is a limit of 1000 total recipients (to + cc + bcc) per request.",
            ("personalizations"),
        )
    seen: set[str] = set()
    for address in addresses:
        if address.lower() in seen:
            yield (
                "Each unique email address in the personalizations array should only be included "
                f"once. You have included [{address}] more than once.",
                "personalizations",
            )
        seen.add(address.lower())
    is_dynamic = str(payload.get("template_id", "")).startswith("d-")
    for place, person in enumerate(people):
        yield from _personalization(person, f"personalizations.{place}", is_dynamic)


def _everybody(person: dict[str, Any]) -> list[dict[str, Any]]:
    return [to for kind in ("to", "cc", "bcc") for to in person.get(kind, [])]


def _personalization(person: dict[str, Any], field: str, is_dynamic: bool) -> Iterator[Problem]:
    if not person.get("to"):
        yield "The to parameter is required for all personalization objects.", f"{field}.to"
    for place, to in enumerate(_everybody(person)):
        if not _EMAIL.fullmatch(str(to.get("email", ""))):
            yield "Does not contain a valid address.", f"{field}.to.{place}.email"
        if set(str(to.get("name", ""))) & {";", ","}:
            yield "The name may not contain ';' or ','.", f"{field}.to.{place}.name"
    if len(json.dumps(person.get("custom_args", {}))) >= CUSTOM_ARGS_BYTES:
        yield "The custom_args must be less than 10,000 bytes.", f"{field}.custom_args"
    if RESERVED_HEADERS & {name.lower() for name in person.get("headers", {})}:
        yield "The headers contain a reserved name.", f"{field}.headers"
    substitutions = person.get("substitutions", {})
    if substitutions and is_dynamic:
        yield "Substitutions may not be used with dynamic templating", f"{field}.substitutions"
    if sum(len(k) + len(str(v).encode()) for k, v in substitutions.items()) > SUBSTITUTION_BYTES:
        yield "The substitutions are limited to 10,000 bytes.", f"{field}.substitutions"
    yield from _send_at(person, f"{field}.send_at")


def _send_at(holder: dict[str, Any], field: str) -> Iterator[Problem]:
    if holder.get("send_at", 0) > time.time() + LATEST_SEND:
        yield "The send_at parameter must be within 72 hours from now.", field
