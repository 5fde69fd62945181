-- The table as the team that owns the places would have made it: nothing in it exists for the search index.
CREATE TABLE IF NOT EXISTS locations (
    location_id     bigint PRIMARY KEY,
    name            text NOT NULL,
    alternate_names text[] NOT NULL DEFAULT '{}',
    region          text,
    country         text NOT NULL,
    latitude        double precision NOT NULL,
    longitude       double precision NOT NULL,
    population      bigint NOT NULL DEFAULT 0,
    timezone        text,
    rate            numeric(10, 2),
    active          boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS locations_updated_at ON locations (updated_at);
COMMENT ON COLUMN locations.region IS 'country and first administrative division, for example DE.02';
GRANT SELECT ON locations TO locations_reader;
