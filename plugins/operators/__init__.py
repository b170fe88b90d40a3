"""Airflow operators: they resolve connections, call the package and hand over ids."""
