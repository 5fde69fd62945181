-- One row of PostgreSQL -> one document of the index `locations`.
-- _id is the document's id; every other column is a field, under its name.
-- Raise this version when the documents change; `searchsync reindex` refuses a change that does not.
-- transform: 1
SELECT
    l.location_id::text                                          AS _id,
    l.location_id,
    l.name,
    l.alternate_names,
    l.region,
    l.country,
    CASE WHEN l.latitude IS NOT NULL AND l.longitude IS NOT NULL
         THEN json_build_object('lat', l.latitude, 'lon', l.longitude)
    END                                                          AS coordinates,
    l.population,
    l.timezone,
    l.rate,
    l.active,
    l.created_at,
    l.updated_at
FROM locations AS l
