-- Why there is an incident, for the command and the API.

-- name: incident
SELECT i.id AS incident, i.code, i.severity, i.detector, i.phase, i.started_at, i.opened_at,
       i.quiet_since, i.ended_at, i.ticket_id AS ticket, i.parent_id AS parent, i.evidence,
       i.charger_id, i.subject_kind, s.name AS site_name, c.code AS charger,
       c.label AS charger_label, n.number AS connector, a.timezone,
       coalesce((SELECT array_agg(m.id ORDER BY m.id) FROM incident m WHERE m.parent_id = i.id),
                '{}') AS members
FROM incident i
JOIN site s ON s.id = i.site_id
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
LEFT JOIN charger c ON c.id = i.charger_id
LEFT JOIN connector n ON n.id = i.connector_id
LEFT JOIN ticket t ON t.id = incident_ticket(i)
WHERE i.id = %(id)s
  AND (%(company_id)s::bigint IS NULL OR %(company_id)s IN (s.company_id, t.company_id)
       OR t.assignee_id = %(person_id)s)
  AND (%(grids)s::bigint[] IS NULL OR s.grid_id = ANY(%(grids)s));

-- name: measure
-- The least, mean and most of a measure around an incident.
SELECT date_bin(%(step)s, observed_at, %(from_at)s) AS at, count(value) AS samples,
       min(value) AS min, avg(value) AS avg, max(value) AS max
FROM (
    SELECT observed_at, CASE %(measure)s
        WHEN 'power_w' THEN power_w WHEN 'temperature_c' THEN temperature_c
        WHEN 'voltage_v' THEN voltage_v WHEN 'current_a' THEN current_a
        WHEN 'residual_current_ma' THEN residual_current_ma
        WHEN 'energy_wh' THEN energy_wh END AS value
    FROM observation
    WHERE charger_id = %(charger_id)s AND connector = %(connector)s AND kind = 2
      AND observed_at >= %(from_at)s AND observed_at < %(to_at)s
) o
WHERE value IS NOT NULL
GROUP BY 1 ORDER BY 1;
