-- The registry file, table by table. Each gives one row for each row added or changed.

-- name: write_area
INSERT INTO area AS t (code, name, timezone)
SELECT code, name, timezone
FROM jsonb_to_recordset(%(rows)s) AS r(code text, name text, timezone text)
ON CONFLICT (code) DO UPDATE SET name = excluded.name, timezone = excluded.timezone
WHERE (t.name, t.timezone) IS DISTINCT FROM (excluded.name, excluded.timezone)
RETURNING (xmax = 0) AS added;

-- name: write_company
INSERT INTO company AS t (code, name, phone)
SELECT code, name, phone
FROM jsonb_to_recordset(%(rows)s) AS r(code text, name text, phone text)
ON CONFLICT (code) DO UPDATE SET name = excluded.name, phone = excluded.phone
WHERE (t.name, t.phone) IS DISTINCT FROM (excluded.name, excluded.phone)
RETURNING (xmax = 0) AS added;

-- name: write_grid
INSERT INTO grid AS t (code, name, area_id)
SELECT r.code, r.name, a.id
FROM jsonb_to_recordset(%(rows)s) AS r(code text, name text, area text)
JOIN area a ON a.code = r.area
ON CONFLICT (code) DO UPDATE SET name = excluded.name, area_id = excluded.area_id
WHERE (t.name, t.area_id) IS DISTINCT FROM (excluded.name, excluded.area_id)
RETURNING (xmax = 0) AS added;

-- name: write_site
INSERT INTO site AS t
    (code, grid_id, company_id, name, address, latitude, longitude, repair_phone, city,
     postal_code)
SELECT r.code, g.id, c.id, r.name, r.address, r.latitude, r.longitude, r.repair_phone, r.city,
       r.postal_code
FROM jsonb_to_recordset(%(rows)s) AS r(
    code text, grid text, company text, name text, address text,
    latitude double precision, longitude double precision, repair_phone text, city text,
    postal_code text)
JOIN grid g ON g.code = r.grid
LEFT JOIN company c ON c.code = r.company
ON CONFLICT (code) DO UPDATE SET
    grid_id = excluded.grid_id, company_id = excluded.company_id, name = excluded.name,
    address = excluded.address, latitude = excluded.latitude, longitude = excluded.longitude,
    repair_phone = excluded.repair_phone, city = excluded.city,
    postal_code = excluded.postal_code
WHERE (t.grid_id, t.company_id, t.name, t.address, t.latitude, t.longitude, t.repair_phone, t.city,
       t.postal_code)
    IS DISTINCT FROM (excluded.grid_id, excluded.company_id, excluded.name, excluded.address,
                      excluded.latitude, excluded.longitude, excluded.repair_phone, excluded.city,
                      excluded.postal_code)
RETURNING (xmax = 0) AS added;

-- name: write_hours
-- From today on, by the site's clock, where other hours are in force.
INSERT INTO opening_hours AS t (site_id, from_on, week)
SELECT s.id, day.today, r.hours
FROM jsonb_to_recordset(%(rows)s) AS r(code text, hours jsonb)
JOIN site s ON s.code = r.code
JOIN grid g ON g.id = s.grid_id
JOIN area a ON a.id = g.area_id
CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE a.timezone)::date AS today) day
LEFT JOIN LATERAL (
    SELECT h.week FROM opening_hours h WHERE h.site_id = s.id AND h.from_on <= day.today
    ORDER BY h.from_on DESC LIMIT 1
) present ON true
WHERE r.hours IS NOT NULL AND r.hours IS DISTINCT FROM present.week
ON CONFLICT (site_id, from_on) DO UPDATE SET week = excluded.week
RETURNING (xmax = 0) AS added;

-- name: write_gateway
INSERT INTO gateway AS t (code, site_id, device)
SELECT r.code, s.id, r.device
FROM jsonb_to_recordset(%(rows)s) AS r(code text, site text, device text)
JOIN site s ON s.code = r.site
ON CONFLICT (code) DO UPDATE SET site_id = excluded.site_id, device = excluded.device
WHERE (t.site_id, t.device) IS DISTINCT FROM (excluded.site_id, excluded.device)
RETURNING (xmax = 0) AS added;

-- name: write_charger
INSERT INTO charger AS t
    (code, site_id, gateway_id, kind, label, vendor, model, active, installed_on, device)
SELECT r.code, s.id, g.id, r.kind, r.label, r.vendor, r.model, r.active, r.installed_on, r.device
FROM jsonb_to_recordset(%(rows)s) AS r(
    code text, site text, gateway text, kind text, label text, vendor text, model text,
    active boolean, installed_on date, device text)
JOIN site s ON s.code = r.site
LEFT JOIN gateway g ON g.code = r.gateway
ON CONFLICT (code) DO UPDATE SET
    site_id = excluded.site_id, gateway_id = excluded.gateway_id, kind = excluded.kind,
    label = excluded.label, vendor = excluded.vendor, model = excluded.model,
    active = excluded.active, installed_on = excluded.installed_on, device = excluded.device
WHERE (t.site_id, t.gateway_id, t.kind, t.label, t.vendor, t.model, t.active, t.installed_on,
       t.device)
    IS DISTINCT FROM (excluded.site_id, excluded.gateway_id, excluded.kind, excluded.label,
                      excluded.vendor, excluded.model, excluded.active, excluded.installed_on,
                      excluded.device)
RETURNING (xmax = 0) AS added;

-- name: write_connector
INSERT INTO connector AS t
    (charger_id, number, max_power_w, plug, power_type, max_voltage_v, max_current_a)
SELECT c.id, r.number, r.max_power_w, r.plug, r.power_type, r.max_voltage_v, r.max_current_a
FROM jsonb_to_recordset(%(rows)s) AS r(
    charger text, number smallint, max_power_w double precision, plug text, power_type text,
    max_voltage_v double precision, max_current_a double precision)
JOIN charger c ON c.code = r.charger
ON CONFLICT (charger_id, number) DO UPDATE SET
    max_power_w = excluded.max_power_w, plug = excluded.plug, power_type = excluded.power_type,
    max_voltage_v = excluded.max_voltage_v, max_current_a = excluded.max_current_a, active = true
WHERE (t.max_power_w, t.plug, t.power_type, t.max_voltage_v, t.max_current_a, t.active)
    IS DISTINCT FROM (excluded.max_power_w, excluded.plug, excluded.power_type,
                      excluded.max_voltage_v, excluded.max_current_a, true)
RETURNING (xmax = 0) AS added;

-- name: retire_connectors
WITH listed AS (
    SELECT c.id AS charger_id, r.number
    FROM jsonb_to_recordset(%(rows)s) AS r(charger text, number smallint)
    JOIN charger c ON c.code = r.charger
)
UPDATE connector n SET active = false
WHERE n.active AND n.charger_id IN (SELECT charger_id FROM listed)
  AND NOT EXISTS (
      SELECT FROM listed l WHERE l.charger_id = n.charger_id AND l.number = n.number);

-- name: adopt_charger
-- A charger that spoke without being registered; no row where it is registered or never spoke.
INSERT INTO charger (code, site_id, kind, label)
SELECT u.code, %(site_id)s, %(kind)s, %(label)s FROM unknown_charger u WHERE u.code = %(code)s
ON CONFLICT (code) DO NOTHING
RETURNING id;

-- name: is_registered
SELECT FROM charger WHERE code = %(code)s;

-- name: adopt_connectors
INSERT INTO connector (charger_id, number)
SELECT %(id)s, n FROM generate_series(1, %(connectors)s) n;

-- name: forget_unknown
DELETE FROM unknown_charger WHERE code = %(code)s;

-- name: read_areas
SELECT code, name, timezone FROM area ORDER BY code;

-- name: read_companies
SELECT code, name, phone FROM company ORDER BY code;

-- name: read_grids
SELECT g.code, g.name, a.code AS area FROM grid g JOIN area a ON a.id = g.area_id ORDER BY g.code;

-- name: read_sites
SELECT s.code, g.code AS grid, c.code AS company, s.name, s.address, s.latitude, s.longitude,
       s.repair_phone, s.city, s.postal_code, hours.week
FROM site s JOIN grid g ON g.id = s.grid_id JOIN area a ON a.id = g.area_id
LEFT JOIN company c ON c.id = s.company_id
LEFT JOIN LATERAL (
    SELECT h.week FROM opening_hours h
    WHERE h.site_id = s.id AND h.from_on <= (now() AT TIME ZONE a.timezone)::date
    ORDER BY h.from_on DESC LIMIT 1
) hours ON true
ORDER BY s.code;

-- name: read_gateways
SELECT w.code, s.code AS site, w.device
FROM gateway w JOIN site s ON s.id = w.site_id ORDER BY w.code;

-- name: read_chargers
SELECT c.code, s.code AS site, w.code AS gateway, c.kind, c.label, c.vendor, c.model, c.active,
       c.installed_on, c.device
FROM charger c JOIN site s ON s.id = c.site_id LEFT JOIN gateway w ON w.id = c.gateway_id
ORDER BY c.code;

-- name: read_connectors
SELECT c.code AS charger, n.number, n.max_power_w, n.plug, n.power_type, n.max_voltage_v,
       n.max_current_a
FROM connector n JOIN charger c ON c.id = n.charger_id WHERE n.active ORDER BY c.code, n.number;
