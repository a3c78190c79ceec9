"""The command line: ``airflow smscancel …``, and ``python -m airflow_provider_smscancel …``."""
