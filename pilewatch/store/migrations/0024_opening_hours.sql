-- A site's opening hours are kept once, with the day they begin: by them uptime is measured, and
-- what is in force is told to others. What the registry had said holds from today on, so that no
-- published figure changes; where hours were in force already, those stay.
WITH days AS (
    SELECT s.id AS site_id, (now() AT TIME ZONE a.timezone)::date AS today, s.opening_hours AS said
    FROM site s JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
    WHERE s.opening_hours IS NOT NULL
), rules AS (
    SELECT d.site_id, d.today,
           regexp_match(btrim(rule), '^(Mo|Tu|We|Th|Fr|Sa|Su)(?:-(Mo|Tu|We|Th|Fr|Sa|Su))? (\S+)$') AS m
    FROM days d, regexp_split_to_table(
        CASE btrim(d.said) WHEN '24/7' THEN 'Mo-Su 00:00-24:00' ELSE d.said END, ';') AS rule
), pieces AS (
    SELECT r.site_id, r.today, day, string_to_array(times, '-') AS piece
    FROM rules r
    CROSS JOIN LATERAL (SELECT '{Mo,Tu,We,Th,Fr,Sa,Su}'::text[] AS names) n
    CROSS JOIN generate_series(array_position(n.names, r.m[1]),
                               array_position(n.names, coalesce(r.m[2], r.m[1]))) AS day
    CROSS JOIN regexp_split_to_table(r.m[3], ',') AS times
), weekdays AS (
    SELECT site_id, today, day, jsonb_agg(to_jsonb(piece) ORDER BY piece) AS opens
    FROM pieces GROUP BY site_id, today, day
)
INSERT INTO opening_hours (site_id, from_on, week)
SELECT w.site_id, w.today, jsonb_object_agg(w.day::text, w.opens)
FROM weekdays w
WHERE NOT EXISTS (
    SELECT FROM opening_hours h WHERE h.site_id = w.site_id AND h.from_on <= w.today)
GROUP BY w.site_id, w.today;

ALTER TABLE site DROP COLUMN opening_hours;
ALTER TABLE told_site ADD COLUMN week jsonb;
COMMENT ON COLUMN told_site.week IS 'opening hours as told; null: not known, taken as always';
COMMENT ON TABLE opening_hours IS
    'weekly hours from a day on: {"1": [["08:00", "22:00"]], …}; a day left out is closed';
