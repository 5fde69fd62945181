"""Airflow glue: connections to clients, tasks that call the library, alerts. No logic of the product lives here."""
