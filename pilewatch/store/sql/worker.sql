-- The grid worker's phone.

-- name: grids
-- Where this person holds meetings; all grids for whom nothing narrows.
SELECT code, name FROM grid
WHERE %(grids)s::bigint[] IS NULL OR id = ANY(%(grids)s) ORDER BY name, code;

-- name: keep_photo
-- Nothing where there is a picture of this name already.
INSERT INTO inspection_photo (inspection_id, name, added_at, sent, width, height, jpeg)
VALUES (%(id)s, %(name)s, %(now)s, %(sent)s, %(width)s, %(height)s, %(jpeg)s)
ON CONFLICT DO NOTHING RETURNING name;

-- name: photo
SELECT sent, jpeg FROM inspection_photo WHERE inspection_id = %(id)s AND name = %(name)s;
