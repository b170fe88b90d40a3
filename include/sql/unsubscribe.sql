-- name: find_shop
-- What the page of an unsubscribe link says: who wrote, and on which channel.
select
    t.name,
    d.channel
from delivery_log as d
inner join tenant as t on d.tenant_id = t.tenant_id
where d.tenant_id = %(tenant_id)s and d.delivery_id = %(delivery_id)s;
