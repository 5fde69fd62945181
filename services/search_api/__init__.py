"""The search API: what people search the indexes with, over HTTP. It imports ``searchsync.catalog`` and no Airflow."""
