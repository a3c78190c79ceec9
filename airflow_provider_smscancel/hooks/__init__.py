"""Airflow's hooks: each translates a connection into a gateway."""
