-- The ledger (问题台账). Planned for the values at hand (`prepare=False`): a filter that is not
-- asked for is no condition at all.

-- name: asked
-- The ids behind the codes that are asked for (0: there is no such), the sites of the caller's own
-- company, and the text as it is searched.
SELECT CASE WHEN %(area)s::text IS NOT NULL
            THEN coalesce((SELECT id FROM area WHERE code = %(area)s), 0) END AS area_id,
       CASE WHEN %(grid)s::text IS NOT NULL
            THEN coalesce((SELECT id FROM grid WHERE code = %(grid)s), 0) END AS grid_id,
       CASE WHEN %(site)s::text IS NOT NULL
            THEN coalesce((SELECT id FROM site WHERE code = %(site)s), 0) END AS site_id,
       CASE WHEN %(company)s::text IS NOT NULL
            THEN coalesce((SELECT id FROM company WHERE code = %(company)s), 0) END AS of_company_id,
       CASE WHEN %(owner_id)s::bigint IS NOT NULL
            THEN array(SELECT id FROM site WHERE company_id = %(owner_id)s) END AS own_sites,
       ledger_plain(%(text)s::text) AS plain;

-- name: lines
-- Newest first. Each pattern must be in the line's text, or one of its codes be the line's kind:
-- `query` finds candidates by their tokens.
WITH page AS MATERIALIZED (
    SELECT l.* FROM ledger l
    WHERE (l.raised_at, l.id) < (%(at)s::timestamptz, %(at_id)s::bigint)
      AND (%(from_at)s::timestamptz IS NULL OR l.raised_at >= %(from_at)s)
      AND (%(to_at)s::timestamptz IS NULL OR l.raised_at < %(to_at)s)
      AND (%(area_id)s::bigint IS NULL OR l.area_id = %(area_id)s)
      AND (%(grid_id)s::bigint IS NULL OR l.grid_id = %(grid_id)s)
      AND (%(site_id)s::bigint IS NULL OR l.site_id = %(site_id)s)
      AND (%(of_company_id)s::bigint IS NULL OR l.company_id = %(of_company_id)s)
      AND (%(state)s::text IS NULL OR l.state = %(state)s)
      AND (%(kind)s::text IS NULL OR l.kind = %(kind)s)
      AND (%(source)s::text IS NULL OR l.source = %(source)s)
      AND (%(severity)s::smallint IS NULL OR l.severity = %(severity)s)
      AND (%(settled)s::boolean IS DISTINCT FROM true OR l.settled_at IS NOT NULL)
      AND (%(settled)s::boolean IS DISTINCT FROM false OR l.settled_at IS NULL)
      AND (%(overdue)s::boolean IS DISTINCT FROM true OR l.late
           OR (l.done_at IS NULL AND coalesce(l.paused_at, %(now)s) > l.deadline_at))
      AND (%(overdue)s::boolean IS DISTINCT FROM false
           OR (NOT l.late AND (l.done_at IS NOT NULL
                               OR coalesce(l.paused_at, %(now)s) <= l.deadline_at)))
      AND (%(company_id)s::bigint IS NULL OR l.company_id = %(company_id)s
           OR l.owner_id = %(person_id)s OR l.site_id = ANY(%(own_sites)s::bigint[]))
      AND (%(grids)s::bigint[] IS NULL OR l.grid_id = ANY(%(grids)s))
      AND (%(query)s::text IS NULL OR l.words @@ %(query)s::tsquery)
      AND (%(query)s::text IS NULL OR NOT EXISTS (
          SELECT FROM unnest(%(patterns)s::text[], %(codes)s::text[]) AS w(pattern, codes)
          WHERE l.said !~ w.pattern AND l.kind <> ALL(string_to_array(w.codes, ','))))
    ORDER BY l.raised_at DESC, l.id DESC LIMIT %(limit)s
)
SELECT l.id, l.ticket_id AS ticket, l.matter_id AS matter, l.raised_at, l.source, a.code AS area,
       a.timezone, g.code AS grid, g.name AS grid_name, s.code AS site, s.name AS site_name,
       w.code AS gateway, c.code AS charger, c.label, n.number AS connector, l.kind, l.severity,
       l.state, co.code AS company, co.name AS company_name, p.login AS owner,
       p.name AS owner_name, l.deadline_at, l.done_at, l.settled_at,
       l.late OR (l.done_at IS NULL AND coalesce(l.paused_at, %(now)s) > l.deadline_at) AS overdue,
       coalesce(m.text, opened.note, (SELECT r.note FROM report r WHERE r.ticket_id = t.id
                                      AND r.note IS NOT NULL ORDER BY r.id LIMIT 1)) AS text,
       t.cause, t.cause_code, coalesce(m.answer, t.remedy) AS remedy, t.remedy_code, t.part,
       t.evidence ->> 'kind' AS proof, coalesce(t.reopened, 0) AS reopened,
       coalesce(t.paused_s, 0) AS paused_s,
       coalesce((SELECT sum(x.amount_fen) FROM ticket_cost x
                 WHERE x.ticket_id = t.id AND x.withdrawn_at IS NULL), 0)::bigint AS cost_fen,
       answered.satisfied,
       coalesce((SELECT jsonb_agg(jsonb_build_object(
                     'duty', o.duty, 'company', oc.code, 'company_name', oc.name, 'owner', op.login,
                     'owner_name', op.name, 'state', o.state) ORDER BY o.id)
                 FROM work_order o LEFT JOIN company oc ON oc.id = o.company_id
                 LEFT JOIN person op ON op.id = o.owner_id
                 WHERE o.ticket_id = t.id AND o.state <> 'cancelled'), '[]') AS shared
FROM page l
JOIN area a ON a.id = l.area_id
JOIN grid g ON g.id = l.grid_id
LEFT JOIN site s ON s.id = l.site_id
LEFT JOIN ticket t ON t.id = l.ticket_id
LEFT JOIN matter m ON m.id = l.matter_id
LEFT JOIN gateway w ON t.subject_kind = 'gateway' AND w.id = t.subject_id
LEFT JOIN charger c ON c.id = t.charger_id
LEFT JOIN connector n ON n.id = t.connector_id
LEFT JOIN company co ON co.id = l.company_id
LEFT JOIN person p ON p.id = l.owner_id
LEFT JOIN LATERAL (
    SELECT e.note FROM ticket_entry e
    WHERE e.ticket_id = t.id AND e.action = 'opened' AND e.note IS NOT NULL ORDER BY e.id LIMIT 1
) opened ON true
LEFT JOIN LATERAL (
    SELECT e.action = 'resident-confirmed' AS satisfied FROM ticket_entry e
    WHERE e.ticket_id = t.id
      AND (e.action IN ('resident-confirmed', 'resident-disputed')
           OR (e.action = 'reopened' AND e.actor_kind = 'resident'))
    ORDER BY e.id DESC LIMIT 1
) answered ON true
ORDER BY l.raised_at DESC, l.id DESC;

-- name: figures
-- Everything that was open within a time, in it or before it: what a report of that time counts.
-- A merged ticket is the line that it was merged into.
SELECT l.raised_at, l.settled_at, l.done_at, l.deadline_at, l.paused_at, l.state, l.source,
       l.severity, l.kind, coalesce(s.name, g.name) AS place, coalesce(t.reopened, 0) AS reopened,
       coalesce(t.paused_s, 0) AS paused_s,
       EXISTS (SELECT FROM ticket_entry e WHERE e.ticket_id = l.ticket_id
               AND e.action = 'escalated' AND e.data ->> 'to' = 'community') AS escalated,
       answered.satisfied
FROM ledger l
JOIN grid g ON g.id = l.grid_id
LEFT JOIN site s ON s.id = l.site_id
LEFT JOIN ticket t ON t.id = l.ticket_id
LEFT JOIN LATERAL (
    SELECT e.action = 'resident-confirmed' AS satisfied FROM ticket_entry e
    WHERE e.ticket_id = l.ticket_id
      AND (e.action IN ('resident-confirmed', 'resident-disputed')
           OR (e.action = 'reopened' AND e.actor_kind = 'resident'))
    ORDER BY e.id DESC LIMIT 1
) answered ON true
WHERE l.raised_at < %(to_at)s AND (l.settled_at IS NULL OR l.settled_at >= %(from_at)s)
  AND l.state <> 'merged'
  AND (%(area_id)s::bigint IS NULL OR l.area_id = %(area_id)s)
  AND (%(company_id)s::bigint IS NULL OR l.company_id = %(company_id)s
       OR l.owner_id = %(person_id)s OR s.company_id = %(owner_id)s)
  AND (%(grids)s::bigint[] IS NULL OR l.grid_id = ANY(%(grids)s))
ORDER BY l.id;

-- name: area
SELECT id, code, name, timezone FROM area
WHERE %(area)s::text IS NULL OR code = %(area)s ORDER BY id LIMIT 1;
