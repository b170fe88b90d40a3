"""Zalo: template messages (ZBS, formerly ZNS) to a phone number, and the tokens they need.

Settings: the fields of :class:`ZaloSettings`. Secret: ``access_token``, ``refresh_token`` (single
use: each renewal brings a new one), ``app_secret``, and ``oa_secret_key`` for the webhook.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import httpx

from leo_activation.channels.base import (
    EVERYTHING,
    ChannelSpec,
    ChannelTools,
    Credential,
    GrantLostError,
    InvalidAddressError,
    Message,
    Outcome,
    Progress,
    Reaction,
    Receipt,
    ReceiptKind,
    SentMessage,
    digest,
    shorten,
    single_address,
)
from leo_activation.channels.http_clients import NOTHING_LEFT, HttpClients
from leo_activation.channels.zalo_answers import Answer
from leo_activation.channels.zalo_codes import (
    CODES,
    PROMOTION,
    Code,
    Scope,
    Until,
    due_at,
    is_night,
)
from leo_activation.channels.zalo_oauth import DEFAULT_TIMEOUT_SECONDS, DEFAULT_URL, renew_tokens
from leo_activation.channels.zalo_receipts import (
    SIGNATURE_PREFIXES,
    delivery_receipt_id,
    read_receipts,
    read_time,
)
from leo_activation.channels.zalo_templates import (
    ENABLED,
    TemplateDataError,
    TemplateInfo,
    compose_text,
    fit_data,
    read_template,
)
from leo_activation.errors import ConfigurationError, LeoError
from leo_activation.phone import PhoneError, normalise_mobile

log = logging.getLogger(__name__)

_MODES = ("production", "development")
_UNLISTED = Code(Reaction.PERM, "unlisted_code")
# Wait so long for a token exchange that failed for now; costs no attempt.
_RENEWAL_WAIT_SECONDS = 30.0
_TAG = re.compile(r"[A-Za-z0-9_-]{1,40}")
# Answers that speak of the address we ask, or of our right to ask, not of the message.
_WRONG_PLACE = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405, 407})


@dataclass(frozen=True, slots=True)
class ZaloSettings:
    """How to reach Zalo, and what its documentation leaves open.

    :param base_url: host of template messages.
    :param oauth_url: host of the token exchange.
    :param app_id: of the developer console.
    :param oa_id: the official account's id; only where it signs webhooks.
    :param mode: ``development`` reaches administrators of account and app only.
    :param sending_mode: ``3`` sends over quota, for accounts that Zalo allows it; None leaves it
        out.
    :param signature_prefix: what a webhook's signature starts with (uncertain).
    :param check_template: ask for a template's parameters before sending.
    :param template_cache_seconds: how long its parameters are believed.
    :param night_start_hour: Zalo's night, Vietnamese time.
    :param night_end_hour: see ``night_start_hour``.
    :param night_tags: messages with these tags wait for the morning; the others may leave at night.
    :param quota_reset_hour: when quotas start anew, Vietnamese time (uncertain: undocumented).
    :param defer_jitter_seconds: messages that wait for one hour come back spread over this time.
    :param throttle_seconds: silence after a refusal for too many requests that names no time: the
        limit is one of a minute (uncertain: how Zalo answers then).
    :param server_error_is_refusal: an HTTP 5xx means that the message was not accepted (uncertain);
        false makes it unknown.
    :param suppress_days: how long a temporary refusal of a recipient holds.
    :param bad_data_limit: so many refusals of a template's data in a row stop the template.
    """

    base_url: str = "https://business.openapi.zalo.me"
    oauth_url: str = DEFAULT_URL
    app_id: str = ""
    oa_id: str = ""
    mode: str = "production"
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    sending_mode: str | None = None
    signature_prefix: str = "app_id"
    check_template: bool = True
    template_cache_seconds: float = 600.0
    night_start_hour: int = 22
    night_end_hour: int = 6
    night_tags: tuple[str, ...] = (PROMOTION,)
    quota_reset_hour: int = 0
    defer_jitter_seconds: float = 900.0
    throttle_seconds: float = 60.0
    server_error_is_refusal: bool = True
    suppress_days: int = 30
    bad_data_limit: int = 20

    @classmethod
    def read(cls, credential: Credential) -> ZaloSettings:
        """Check the settings of a credential.

        :raises ConfigurationError: a setting is unknown or unusable.
        """
        try:
            settings = cls(**credential.settings)
            settings._check()
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the Zalo settings of tenant {credential.tenant_id!r} are unusable: {error}; "
                f"known are {', '.join(field.name for field in fields(cls))}"
            ) from None
        return settings

    def _check(self) -> None:
        for name, known in (("mode", _MODES), ("signature_prefix", SIGNATURE_PREFIXES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is none of {', '.join(known)}")
        for name in ("night_start_hour", "night_end_hour", "quota_reset_hour"):
            if not 0 <= int(getattr(self, name)) <= 23:
                raise ValueError(f"{name} {getattr(self, name)!r} is no hour from 0 to 23")
        for name in ("base_url", "oauth_url"):
            if not str(getattr(self, name)).startswith(("https://", "http://")):
                raise ValueError(f"{name} {getattr(self, name)!r} is no HTTP address")


def normalise_phone(address: str) -> str:
    """Return a phone number as Zalo and the suppression list spell it.

    :param address: any Vietnamese mobile number.
    :raises InvalidAddressError: it is none.
    """
    try:
        return normalise_mobile(address)
    except PhoneError as error:
        raise InvalidAddressError(f"not a Vietnamese mobile number: {error}") from None


class ZaloChannel:
    """One official account.

    :param credential: its tokens; replaced when they are renewed.
    :param settings: how to reach Zalo.
    :param tools: clock, chance, renewal.
    """

    def __init__(self, credential: Credential, settings: ZaloSettings, tools: ChannelTools) -> None:
        """Prepare the HTTP clients; they connect at the first message."""
        self._credential = credential
        self._settings = settings
        self._tools = tools
        self._http = HttpClients(settings.base_url, settings.timeout_seconds, tools.concurrency)
        # Template id -> until when its parameters are believed, and the parameters.
        self._templates: dict[str, tuple[datetime, TemplateInfo]] = {}
        self._asking: dict[str, asyncio.Task[TemplateInfo | Outcome]] = {}
        # Limits that are used up: what they close -> until when, and the answer that said so.
        self._closed: dict[str, tuple[datetime, Outcome]] = {}
        self._bad_data: Counter[str] = Counter()

    async def send(self, message: Message) -> Outcome:
        """Send one message; see :class:`leo_activation.channels.base.Channel`.

        :param message: its ``data`` are the template's parameters.
        """
        template_id = str(message.provider_template.get("id") or "")
        if not template_id:
            detail = f"template {message.template_id!r} does not name its 'id' at Zalo"
            return Outcome(Reaction.STOP_TEMPLATE, "template_unknown", detail)
        message.progress.nothing_left = True
        waiting = self._must_wait(template_id, self._tag(message))
        if waiting is not None:
            return waiting
        try:
            data = await self._fitting_data(template_id, message.data)
        except TemplateDataError as error:
            outcome = Outcome(Reaction.PERM, "template_data", shorten(str(error)))
            return self._count_bad_data(template_id, outcome)
        if isinstance(data, Outcome):
            return data
        body = self._body(message, data)
        answer = await self._ask("POST", "/message/template", message.progress, json=body)
        if isinstance(answer, Outcome):
            return answer
        return self._judge_send(answer, template_id, self._tag(message))

    def _body(self, message: Message, data: Mapping[str, str]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "phone": message.address,
            "template_id": str(message.provider_template["id"]),
            "template_data": data,
            # 32 of [0-9a-f]; Zalo keeps 48 characters, and perhaps only letters and digits.
            "tracking_id": message.delivery_id.hex,
        }
        if self._settings.mode != "production":
            body["mode"] = self._settings.mode
        if self._settings.sending_mode is not None:
            body["sending_mode"] = self._settings.sending_mode
        return body

    def _tag(self, message: Message) -> str:
        """Return the message's tag: what our template says, else what Zalo said of its own."""
        tag = str(message.provider_template.get("tag") or "")
        known = self._templates.get(str(message.provider_template.get("id")))
        return tag or (known[1].tag if known else "")

    def _must_wait(self, template_id: str, tag: str) -> Outcome | None:
        """Return the answer for a message that Zalo would refuse now, without asking it."""
        now = self._tools.clock()
        for closed in (EVERYTHING, f"tag:{tag}", f"template:{template_id}"):
            until, outcome = self._closed.get(closed, (now, None))
            if outcome is not None and until > now:
                return replace(
                    outcome, reaction=Reaction.DEFER, retry_after=self._seconds_to(until, now)
                )
        night = self._settings.night_start_hour, self._settings.night_end_hour
        if tag in self._settings.night_tags and is_night(now, *night):
            until = self._due_at(Until.MORNING, now)
            detail = f"Zalo takes no {tag} from {night[0]}:00 to {night[1]}:00; not sent yet"
            return Outcome(
                Reaction.DEFER, "night", detail, retry_after=self._seconds_to(until, now)
            )
        return None

    def _due_at(self, until: Until, now: datetime) -> datetime:
        return due_at(
            until,
            now,
            morning_hour=self._settings.night_end_hour,
            reset_hour=self._settings.quota_reset_hour,
        )

    def _seconds_to(self, until: datetime, now: datetime) -> float:
        """Return the wait, spread so that not everybody comes back at the same moment.

        A short wait is spread over little: a pause of a second must not cost a quarter of an hour.
        """
        wait = (until - now).total_seconds()
        return wait + min(self._settings.defer_jitter_seconds, wait) * self._tools.uniform()

    async def _fitting_data(
        self, template_id: str, data: Mapping[str, str]
    ) -> dict[str, str] | Outcome:
        """Return the data as they are to be sent, or why the message cannot be sent.

        :raises TemplateDataError: they do not fit the template.
        """
        if not self._settings.check_template:
            return {name: compose_text(name, value) for name, value in data.items()}
        info = await self._template(template_id)
        return info if isinstance(info, Outcome) else fit_data(info, data)

    async def _template(self, template_id: str) -> TemplateInfo | Outcome:
        """Return a template's parameters; however many wait for them, Zalo is asked once."""
        until, info = self._templates.get(template_id, (self._tools.clock(), None))
        if info is not None and until > self._tools.clock():
            return info
        task = self._asking.get(template_id)
        if task is None:
            task = asyncio.create_task(self._fetch_template(template_id))
            self._asking[template_id] = task
            task.add_done_callback(lambda _: self._asking.pop(template_id, None))
        # Who waits may be cancelled without taking the answer from the others.
        return await asyncio.shield(task)

    async def _fetch_template(self, template_id: str) -> TemplateInfo | Outcome:
        # Uncertain: only one source describes this endpoint; see check_template.
        answer = await self._ask("GET", "/template/info/v2", params={"template_id": template_id})
        if isinstance(answer, Outcome):
            return answer
        if answer.error != 0 or not answer.is_good:
            return _nothing_left(self._judge(answer, template_id, ""))
        try:
            info = read_template(answer.data)
        except ValueError as error:
            detail = f"Zalo's description of template {template_id} cannot be read: {error}"
            return Outcome(Reaction.STOP_TEMPLATE, "template_unreadable", detail)
        if info.status != ENABLED:
            detail = f"template {template_id} is {info.status or 'without a state'} at Zalo"
            return Outcome(Reaction.STOP_TEMPLATE, "template_disabled", shorten(detail))
        lifetime = timedelta(seconds=self._settings.template_cache_seconds)
        self._templates[template_id] = (self._tools.clock() + lifetime, info)
        return info

    async def _ask(
        self, method: str, path: str, progress: Progress | None = None, **request: Any
    ) -> Answer | Outcome:
        """Ask Zalo; with a fresh token once more, when it surely refused the stale one.

        :param progress: of the message that the request carries, if it carries one.
        :returns: its answer, or what became of a request without one.
        """
        credential = self._credential
        progress = progress or Progress()
        try:
            progress.nothing_left = False
            answer = await self._request(credential, method, path, **request)
            if not _is_stale_token(answer):
                return answer
            progress.nothing_left = True
            credential = await self._tools.renew(credential)
            self._credential = credential
            progress.nothing_left = False
            return await self._request(credential, method, path, **request)
        except httpx.HTTPError as error:
            outcome = _lost(error)
            # A question that got no answer left nothing at Zalo.
            return outcome if method == "POST" else _nothing_left(outcome)
        except GrantLostError as error:
            return Outcome(Reaction.STOP, "grant_lost", shorten(str(error)))
        except LeoError as error:
            # Zalo refused the message for the token alone: nothing left.
            detail = f"the access token cannot be renewed now: {shorten(str(error))}"
            wait = _RENEWAL_WAIT_SECONDS * (1 + self._tools.uniform())
            return Outcome(Reaction.DEFER, "renewal_failed", detail, retry_after=wait)

    async def _request(
        self, credential: Credential, method: str, path: str, **request: Any
    ) -> Answer:
        headers = {"access_token": credential.secret["access_token"]}
        async with self._http.borrow() as client:
            return Answer.read(await client.request(method, path, headers=headers, **request))

    def _judge_send(self, answer: Answer, template_id: str, tag: str) -> Outcome:
        number = answer.data.get("msg_id")
        if answer.is_good and answer.error == 0 and number:
            self._bad_data.pop(template_id, None)
            return Outcome(
                Reaction.ACCEPTED, provider_message_id=str(number), response=answer.excerpt()
            )
        outcome = self._judge(answer, template_id, tag)
        code = CODES.get(answer.error or 0)
        if code is not None and code.is_bad_data:
            return self._count_bad_data(template_id, outcome)
        return outcome

    def _judge(self, answer: Answer, template_id: str, tag: str) -> Outcome:
        """Turn an answer that is no success into a reaction."""
        if answer.status == 429:
            return self._throttled(answer)
        if answer.status >= 500:
            is_refusal = self._settings.server_error_is_refusal
            reaction = Reaction.RETRY if is_refusal else Reaction.UNKNOWN
            wait = answer.wait_seconds(self._tools.clock())
            return _outcome(answer, reaction, "provider_error", retry_after=wait)
        if not answer.error:
            if answer.is_good:
                return _outcome(answer, Reaction.UNKNOWN, "bad_answer")
            is_wrong_place = answer.status in _WRONG_PLACE
            reaction = Reaction.STOP if is_wrong_place else Reaction.PERM
            return _outcome(answer, reaction, f"http_{answer.status}")
        code = CODES.get(answer.error)
        if code is None:
            log.error("%s: the code is in no table; look it up and add it", answer.describe())
            code = _UNLISTED
        if code.reason == "throttled":
            return self._throttled(answer)
        if code.reaction is Reaction.DEFER:
            return self._defer(answer, code, template_id)
        return self._refused(answer, code, tag)

    def _refused(self, answer: Answer, code: Code, tag: str) -> Outcome:
        outcome = _outcome(answer, code.reaction, code.reason)
        if code.reaction is not Reaction.SUPPRESS:
            return outcome
        scope = EVERYTHING
        if code.scope is Scope.PROMOTION:
            scope = f"tag:{PROMOTION}"
        elif code.scope is Scope.TAG and _TAG.fullmatch(tag):
            scope = f"tag:{tag}"
        days = timedelta(days=self._settings.suppress_days)
        return replace(outcome, suppress_for=days if code.temporary else None, suppress_scope=scope)

    def _defer(self, answer: Answer, code: Code, template_id: str) -> Outcome:
        now = self._tools.clock()
        until = self._due_at(code.until or Until.NEXT_DAY, now)
        outcome = _outcome(
            answer, Reaction.DEFER, code.reason, retry_after=self._seconds_to(until, now)
        )
        closes = {
            Scope.ALL: EVERYTHING,
            Scope.PROMOTION: f"tag:{PROMOTION}",
            Scope.TEMPLATE: f"template:{template_id}",
        }.get(code.scope)
        if closes is not None:
            self._closed[closes] = (until, outcome)
        return outcome

    def _throttled(self, answer: Answer) -> Outcome:
        """Hold the whole account back: the limit is the app's, not the message's."""
        now = self._tools.clock()
        asked = answer.wait_seconds(now)
        wait = self._settings.throttle_seconds if asked is None else asked
        outcome = _outcome(answer, Reaction.RETRY, "throttled", retry_after=wait)
        self._closed[EVERYTHING] = (now + timedelta(seconds=wait), outcome)
        return outcome

    def _count_bad_data(self, template_id: str, outcome: Outcome) -> Outcome:
        """Stop a template whose data are refused again and again: the fault is not the customers'.

        :param outcome: this message's.
        """
        self._bad_data[template_id] += 1
        if self._bad_data[template_id] < self._settings.bad_data_limit:
            return outcome
        detail = (
            f"{self._bad_data[template_id]} messages in a row did not fit template {template_id}; "
            f"the last one: {outcome.detail}"
        )
        return replace(
            outcome,
            reaction=Reaction.STOP_TEMPLATE,
            reason="template_data_in_a_row",
            detail=shorten(detail),
        )

    async def look_up(self, message: SentMessage) -> Receipt | None:
        """Ask whether a message was delivered; None when Zalo does not know or does not answer.

        :param message: known to Zalo by the id that it gave it.
        """
        number = message.provider_message_id
        if not number:
            return None
        answer = await self._ask("GET", "/message/status", params={"message_id": number})
        if isinstance(answer, Outcome) or answer.error != 0 or not answer.is_good:
            said = answer.detail if isinstance(answer, Outcome) else answer.describe()
            log.warning(
                "Zalo does not tell what became of delivery %s: %s", message.delivery_id, said
            )
            return None
        status = str(answer.data.get("status"))
        kinds = {"0": ReceiptKind.ACCEPTED, "1": ReceiptKind.DELIVERED}
        if status not in kinds:
            return None
        is_delivered = kinds[status] is ReceiptKind.DELIVERED
        delivered_at = read_time(answer.data.get("delivery_time")) if is_delivered else None
        return Receipt(
            receipt_id=delivery_receipt_id(number) if is_delivered else digest("accepted", number),
            kind=kinds[status],
            occurred_at=delivered_at or self._tools.clock(),
            delivery_id=message.delivery_id,
            provider_message_id=number,
            address=message.address,
            reason="status_lookup",
            response={"status": status, "message": shorten(str(answer.data.get("message", "")))},
        )

    async def describe_account(self) -> Mapping[str, Any]:
        """Return quota and quality of the official account, for a person to read.

        What Zalo does not tell is replaced by ``{"problem": why}``.
        """
        return {
            "quota": await self._section("/message/quota"),
            "quality": await self._section("/quality"),
            "token_expires_at": self._credential.expires_at,
        }

    async def _section(self, path: str) -> Mapping[str, Any]:
        answer = await self._ask("GET", path)
        if isinstance(answer, Outcome):
            return {"problem": answer.detail}
        if answer.error != 0 or not answer.is_good:
            return {"problem": answer.describe()}
        return answer.data

    async def close(self) -> None:
        """Give up all connections."""
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._http.close()


def _is_stale_token(answer: Answer) -> bool:
    code = CODES.get(answer.error or 0)
    return code is not None and code.is_stale_token and answer.status < 500


def _outcome(
    answer: Answer, reaction: Reaction, reason: str, *, retry_after: float | None = None
) -> Outcome:
    return Outcome(
        reaction, reason, answer.describe(), response=answer.excerpt(), retry_after=retry_after
    )


def _lost(error: httpx.HTTPError) -> Outcome:
    detail = f"Zalo: {type(error).__name__}"
    if isinstance(error, NOTHING_LEFT):
        return Outcome(Reaction.RETRY, "connection_lost", detail)
    # The request, or a part of it, has left.
    return Outcome(Reaction.UNKNOWN, "no_answer", detail, response={"error": detail})


def _nothing_left(outcome: Outcome) -> Outcome:
    """Turn the fate of a mere question into that of the message, which never left."""
    if outcome.reaction is Reaction.UNKNOWN:
        return replace(outcome, reaction=Reaction.RETRY)
    if outcome.reaction in (Reaction.PERM, Reaction.SUPPRESS):
        return replace(outcome, reaction=Reaction.STOP_TEMPLATE)
    return outcome


def open_zalo(credential: Credential, tools: ChannelTools) -> ZaloChannel:
    """Make the channel of one tenant.

    :param credential: settings and secret.
    :param tools: clock, chance, renewal, most requests at once.
    :raises ConfigurationError: a setting is unusable, or the access token is missing.
    """
    settings = ZaloSettings.read(credential)
    token = credential.secret.get("access_token", "")
    if not token or not (token.isascii() and token.isprintable()):
        raise ConfigurationError(
            f"the Zalo credential of tenant {credential.tenant_id!r} is unusable: it needs the "
            "secret 'access_token', letters and digits in one line"
        )
    return ZaloChannel(credential, settings, tools)


SPEC = ChannelSpec(
    find_recipient=single_address("mobile", normalise_phone),
    open=open_zalo,
    concurrency=32,
    # Zalo's documentation, "Rate limit": 4,000 requests a minute for an app.
    rate_per_second=4_000 / 60,
    renew=renew_tokens,
    read_receipts=read_receipts,
)
