"""Keep OpenSearch indexes true to their source databases. No Airflow import anywhere below this package."""
