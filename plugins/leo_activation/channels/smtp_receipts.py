"""What mail servers and mailboxes send back: delivery reports (RFC 3464), complaints (RFC 5965).

Nobody signs these mails, and their sender is whoever writes it there. What proves a report is the
``Message-ID`` of the letter it is about: with a ``bounce_key`` among the credential's secrets every
letter's id ends in a proof that only this installation can make::

    <DELIVERY.PROOF@shop.example.vn>     PROOF = 16 digits of the delivery, 16 of its address

* Without a proof of the delivery nothing is believed: ids cannot be guessed or made up, although
  the delivery's own id is no secret.
* An address is stopped as undeliverable only when the report names it and the proof fits it: who
  received one letter cannot use its id against anybody else.

The limit: whoever has seen a letter (its reader, the servers on its way) can make a report about
that letter, and so stop the letters to this one reader.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message as Mail
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any
from uuid import UUID

from leo_activation.channels.base import (
    Credential,
    InvalidAddressError,
    Receipt,
    ReceiptKind,
    SignatureError,
    digest,
    shorten,
)
from leo_activation.channels.mail_rules import (
    blames_recipient,
    enhanced_code,
    normalise_address,
)
from leo_activation.errors import ConfigurationError, LeoError

# The report itself stands before the returned letter, so the rest of a long mail is not needed.
_BYTES_READ = 256 * 1024
# Python's parser is slow on parts within parts within parts; reports have three or four.
_MOST_PARTS = 30
_MOST_RECIPIENTS = 10
_LONGEST_FIELD = 2000
_PART = re.compile(rb"^content-type:\s*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
_LETTER = re.compile(r"\b([0-9a-f]{32})\.([0-9a-f]{16})([0-9a-f]{16})@")
_COMPLAINTS = ("abuse", "fraud")


class BounceError(LeoError):
    """A mail is no report that can be read."""


def bounce_proof(key: str, delivery_id: UUID, address: str) -> str:
    """Return what a Message-ID carries so that a report about it can be believed.

    :param key: the credential's secret ``bounce_key``.
    :param delivery_id: the message.
    :param address: its recipient, normalised.
    """
    return _proof(key, delivery_id.hex) + _proof(key, f"{delivery_id.hex} {address}")


def _proof(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


def read_receipts(
    credential: Credential, headers: Mapping[str, str], raw_body: bytes
) -> list[Receipt]:
    """Read a mail that came to the return path.

    :param credential: its secret ``bounce_key`` made the proofs.
    :param headers: of the request that handed the mail in; not needed.
    :param raw_body: the whole mail, as it was received.
    :raises SignatureError: it is about no letter of ours.
    :raises ConfigurationError: the credential has no ``bounce_key``.
    :raises BounceError: it cannot be read as a report.
    """
    key = credential.secret.get("bounce_key")
    if not key:
        raise ConfigurationError(
            f"the SMTP credential of tenant {credential.tenant_id!r} has no secret 'bounce_key', "
            "so no bounce can be believed; set one (32 random characters) before the next campaign"
        )
    return read_bounce(raw_body, key)


def read_bounce(raw_mail: bytes, key: str) -> list[Receipt]:
    """Read a delivery report or a complaint.

    :param raw_mail: the whole mail, as it was received; nothing in it is trusted.
    :param key: made the proofs of our letters.
    :raises SignatureError: it is about no letter of ours.
    :raises BounceError: it cannot be read as a report.
    """
    raw = raw_mail[:_BYTES_READ]
    if len(_PART.findall(raw)) > _MOST_PARTS:
        raise BounceError(f"the mail has more than {_MOST_PARTS} parts; no report has")
    try:
        mail = email.message_from_bytes(raw, policy=email.policy.compat32)
        parts = list(mail.walk())
    except (RecursionError, ValueError, LookupError) as error:
        raise BounceError(f"the mail cannot be read: {type(error).__name__}") from None
    letter = _find_letter(raw, parts, key)
    at = _sent_at(mail, parts)
    receipts = [
        _report(letter, block, at)
        for part in parts
        if part.get_content_type() == "message/delivery-status"
        for block in _blocks(part)
        if "final-recipient" in block or "original-recipient" in block
    ][:_MOST_RECIPIENTS]
    receipts += [
        _complaint(letter, part, at)
        for part in parts
        if part.get_content_type() == "message/feedback-report"
    ][:1]
    # An automatic answer, or a bounce in no standard's words.
    return receipts or [letter.receipt(ReceiptKind.NOTED, at, {"subject": _field(mail, "subject")})]


@dataclass(frozen=True, slots=True)
class _Letter:
    """The letter of ours that a mail is about.

    :param address_proof: what its id says of its recipient.
    :param key: made the proof.
    """

    delivery_id: UUID
    address_proof: str
    key: str = field(repr=False)

    def is_to(self, address: str) -> bool:
        """Tell whether the letter went to an address.

        :param address: normalised.
        """
        proof = _proof(self.key, f"{self.delivery_id.hex} {address}")
        return hmac.compare_digest(proof, self.address_proof)

    def receipt(
        self, kind: ReceiptKind, at: datetime, facts: Mapping[str, str], **more: Any
    ) -> Receipt:
        """Write a receipt; the same report gives the same one."""
        words = [value for pair in sorted(facts.items()) for value in pair]
        return Receipt(
            digest("bounce", self.delivery_id.hex, kind, at.isoformat(), *words),
            kind,
            at,
            delivery_id=self.delivery_id,
            response=dict(facts),
            **more,
        )


def _find_letter(raw: bytes, parts: list[Mail], key: str) -> _Letter:
    """Find an id with our proof, wherever it stands: the proof is what counts, not the place."""
    for text in _places(raw, parts):
        for found in _LETTER.finditer(text):
            if hmac.compare_digest(_proof(key, found[1]), found[2]):
                return _Letter(UUID(hex=found[1]), found[3], key)
    raise SignatureError(
        "the mail names no letter that was sent from here with this bounce_key; nothing is believed"
    )


def _places(raw: bytes, parts: list[Mail]) -> Iterator[str]:
    yield raw.decode("latin-1")
    for part in parts:
        # Returned headers may be encoded for transport.
        if part.get_content_type() == "text/rfc822-headers":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                yield content.decode("latin-1")


def _blocks(part: Mail) -> list[Mail]:
    """Return the groups of fields of a delivery-status part."""
    content = part.get_payload()
    return [b for b in content if isinstance(b, Mail)] if isinstance(content, list) else []


def _report(letter: _Letter, block: Mail, at: datetime) -> Receipt:
    action = _field(block, "action").lower()
    status = enhanced_code(_field(block, "status"))
    facts = {
        name: _field(block, name)
        for name in ("action", "status", "diagnostic-code", "remote-mta")
        if name in block
    }
    address = next((a for a in _recipients(block) if letter.is_to(a)), None)
    if action == "failed":
        if address is not None and blames_recipient(status):
            return letter.receipt(
                ReceiptKind.BOUNCED, at, facts, address=address, reason="hard_bounce", suppress=True
            )
        # This letter failed; or it had been passed on, and failed at an address we never wrote to.
        return letter.receipt(ReceiptKind.BLOCKED, at, facts, address=address, reason="blocked")
    kind, reason = {
        "delayed": (ReceiptKind.DEFERRED, "deferred"),
        "delivered": (ReceiptKind.DELIVERED, ""),
    }.get(action, (ReceiptKind.NOTED, ""))
    return letter.receipt(kind, at, facts, address=address, reason=reason)


def _complaint(letter: _Letter, part: Mail, at: datetime) -> Receipt:
    """Read a feedback report; it may hide who complained; the letter knows."""
    content = part.get_payload()
    first = content[0] if isinstance(content, list) and content else part
    fields = first if isinstance(first, Mail) else part
    feedback = _field(fields, "feedback-type").strip().lower()
    facts = {"feedback-type": feedback, "user-agent": _field(fields, "user-agent")}
    if feedback not in _COMPLAINTS:
        return letter.receipt(ReceiptKind.NOTED, at, facts)
    return letter.receipt(ReceiptKind.COMPLAINED, at, facts, reason="complaint", suppress=True)


def _recipients(block: Mail) -> Iterator[str]:
    """Yield the addresses of a report; their type stands first: ``rfc822; a@example.vn``."""
    for name in ("original-recipient", "final-recipient"):
        _, _, written = _field(block, name).partition(";")
        try:
            yield normalise_address(parseaddr(written)[1])
        except InvalidAddressError:
            continue


def _field(fields: Mail, name: str) -> str:
    """Return a field on one line, cut; empty when there is none."""
    return shorten(" ".join(str(fields.get(name, ""))[:_LONGEST_FIELD].split()))


def _sent_at(mail: Mail, parts: list[Mail]) -> datetime:
    """Return when it happened, by whoever says it."""
    written = [
        _field(block, name)
        for part in parts
        if part.get_content_type() == "message/delivery-status"
        for block in _blocks(part)
        for name in ("last-attempt-date", "arrival-date")
    ]
    for date in (*written, _field(mail, "date")):
        try:
            found = parsedate_to_datetime(date)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    raise BounceError("the mail says nowhere when it was sent; a server's report always does")
