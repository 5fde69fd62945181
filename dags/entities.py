"""No DAG: it fails to import when a file in `include/entities` cannot be used, so that Airflow says so in its UI.

The DAGs of all other entities are there, and go on.
"""

from searchsync.catalog import BAD_ENTITIES, CATALOG, NO_ENTITIES

if not CATALOG and not BAD_ENTITIES:
    raise ImportError(NO_ENTITIES)
if BAD_ENTITIES:
    raise ImportError("; ".join(str(error) for error in BAD_ENTITIES.values()))
