"""Airflow's operators."""
