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
    -- OpenSearch would move what is out of range to another place on earth; a text is left out, and counted.
    CASE WHEN l.latitude BETWEEN -90 AND 90 AND l.longitude BETWEEN -180 AND 180
         THEN json_build_object('lat', l.latitude, 'lon', l.longitude)
         WHEN l.latitude IS NOT NULL AND l.longitude IS NOT NULL
         THEN to_json(concat('no place on earth: ', l.latitude, ' ', l.longitude))
    END                                                          AS coordinates,
    l.population,
    l.timezone,
    l.rate,
    l.active,
    l.created_at,
    l.updated_at
FROM locations AS l
