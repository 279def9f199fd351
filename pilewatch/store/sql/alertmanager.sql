-- Alerts of other programs become events.

-- name: alert_place
-- The named place, as this caller may see it; codes are unique, so this is one row or none.
SELECT s.id AS site_id, c.id AS charger_id, n.id AS connector_id
FROM site s
LEFT JOIN charger c ON c.code = %(charger)s AND c.site_id = s.id AND c.active
LEFT JOIN connector n ON n.charger_id = c.id AND n.number = %(connector)s AND n.active
WHERE CASE WHEN %(charger)s::text IS NULL THEN s.code = %(site)s AND %(connector)s::integer IS NULL
      ELSE c.id IS NOT NULL AND (%(site)s::text IS NULL OR s.code = %(site)s) END
  AND (%(connector)s::integer IS NULL OR n.id IS NOT NULL)
  AND (%(company_id)s::bigint IS NULL OR s.company_id = %(company_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s));

-- name: add_event
INSERT INTO event (kind, charger_id, connector_id, observed_at, received_at, payload)
VALUES (%(kind)s, coalesce(%(charger_id)s, 0), %(connector_id)s, %(at)s, %(now)s, %(payload)s);

-- name: wake_engine
SELECT pg_notify('pilewatch_event', '');
