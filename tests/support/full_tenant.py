"""A tenant with one row in every tenant table: the prey of the isolation tests."""

from __future__ import annotations

import psycopg

from leo_activation.database import Connection

# One statement after the other, in the order of the foreign keys; a new table needs one here.
_ROWS = """
insert into cdp_profiles (tenant_id, profile_id, ext_id, full_name, raw_attributes, content_hash)
values (
    %(t)s, deterministic_id('profile', %(t)s, 'kh-1'), 'kh-1', 'Nguyễn Thị Ánh',
    '{"city": "Huế"}', sha256('x')
);
insert into consent (tenant_id, profile_id, channel, decision, source)
values (%(t)s, deterministic_id('profile', %(t)s, 'kh-1'), 'email', 'granted', 'form');
insert into suppression (tenant_id, channel, address, reason)
values (%(t)s, 'email', 'anh@example.com', 'bounce');
insert into sync_state (tenant_id, stream, watermark) values (%(t)s, 'profiles', '{}');
insert into ingest_reject (tenant_id, reject_id, scope, reason, raw_document)
values (%(t)s, gen_random_uuid(), 'document', 'no id', '{}');
insert into campaign (tenant_id, campaign_id, code, name, instruction, channels)
values (
    %(t)s, deterministic_id('campaign', %(t)s, 'tri-an'), 'tri-an', 'Tri ân', 'Gửi email',
    '{email}'
);
insert into message_template (tenant_id, template_id, channel, description, subject, body_text)
values (%(t)s, 'thanks', 'email', 'Cảm ơn', 'Cảm ơn', 'Xin chào');
insert into marketing_event (
    tenant_id, event_id, profile_id, event_type, source, source_key, occurred_at
)
values (
    %(t)s,
    deterministic_id(
        'event', %(t)s, 'run', 'r-1', deterministic_id('profile', %(t)s, 'kh-1')::text
    ),
    deterministic_id('profile', %(t)s, 'kh-1'), 'campaign_targeted', 'run', 'r-1', now()
);
insert into segment_snapshot_member (tenant_id, snapshot_id, profile_id, ext_id, ordinal, facts)
values (
    %(t)s, deterministic_id('snapshot', %(t)s, 'r-1'),
    deterministic_id('profile', %(t)s, 'kh-1'), 'kh-1', 1, '{"city": "Huế"}'
);
insert into segment_snapshot (
    tenant_id, snapshot_id, campaign_id, run_id, segment_key, segment_name, definition_hash,
    member_count, members_sha256
)
select
    %(t)s, deterministic_id('snapshot', %(t)s, 'r-1'),
    deterministic_id('campaign', %(t)s, 'tri-an'), 'r-1', 'vip',
    'VIP', 'hash', m.member_count, m.members_sha256
from snapshot_manifest(%(t)s, deterministic_id('snapshot', %(t)s, 'r-1')) as m;
update cdp_profiles set segment_snapshots = array[deterministic_id('snapshot', %(t)s, 'r-1')]
where tenant_id = %(t)s;
insert into campaign_plan (
    tenant_id, plan_id, campaign_id, run_id, instruction, catalogue, toolset_hash, prompt_hash,
    plan, verdict, model, latency_ms
)
values (
    %(t)s, deterministic_id('plan', %(t)s, 'r-1'), deterministic_id('campaign', %(t)s, 'tri-an'),
    'r-1', 'Gửi email', '{}', 'h', 'h', '[]', 'accepted', 'm', 1
);
insert into event_rule (tenant_id, event_type, campaign_id, plan_id)
values (
    %(t)s, 'cart_left', deterministic_id('campaign', %(t)s, 'tri-an'),
    deterministic_id('plan', %(t)s, 'r-1')
);
insert into agent_task (tenant_id, task_id, event_id, profile_id, snapshot_id, campaign_id)
select
    e.tenant_id, deterministic_id('task', e.tenant_id, e.event_id::text), e.event_id, e.profile_id,
    deterministic_id('snapshot', %(t)s, 'r-1'), deterministic_id('campaign', %(t)s, 'tri-an')
from marketing_event as e where e.tenant_id = %(t)s;
insert into delivery_log (
    tenant_id, delivery_id, event_id, profile_id, task_id, snapshot_id, campaign_id, channel,
    template_id, message_key, delivery_status
)
select
    t.tenant_id,
    deterministic_id('delivery', t.tenant_id, t.event_id::text, t.profile_id::text, 'email', '0'),
    t.event_id, t.profile_id, t.task_id, t.snapshot_id, t.campaign_id, 'email', 'thanks',
    deterministic_id(
        'message', t.tenant_id, t.campaign_id::text, t.profile_id::text, 'email', '0'
    ),
    'queued'
from agent_task as t where t.tenant_id = %(t)s;
insert into channel_credential (tenant_id, channel, provider) values (%(t)s, 'email', 'smtp');
insert into channel_rate (tenant_id, channel, free_at) values (%(t)s, 'email', now());
insert into delivery_receipt (
    tenant_id, receipt_id, channel, provider, kind, delivery_id, occurred_at
)
select
    d.tenant_id, deterministic_id('receipt', d.tenant_id, 'smtp', '1'), 'email', 'smtp',
    'delivered', d.delivery_id, now()
from delivery_log as d where d.tenant_id = %(t)s;
insert into quality_run (tenant_id, suite, is_success, results) values (%(t)s, 's', true, '{}');
insert into api_key (tenant_id, name, key_hash) values (%(t)s, 'k', sha256(%(t)s::bytea));
insert into api_request (
    tenant_id, endpoint, idempotency_key, request_sha256, status_code, response, api_key_id
)
select k.tenant_id, 'POST /snapshot/create', 'i-1', sha256('x'), 201, '{}', k.api_key_id
from api_key as k where k.tenant_id = %(t)s and k.name = 'k';
"""


def fill_tenant(admin: Connection, tenant_id: str) -> None:
    """Give an existing tenant one row in every table, all in one transaction."""
    with admin.transaction(), psycopg.ClientCursor(admin) as cursor:
        cursor.execute(_ROWS, {"t": tenant_id})
