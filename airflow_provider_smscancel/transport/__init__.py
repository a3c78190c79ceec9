"""How a request gets to a gateway and back: time limits, failures, retries, pace, redaction. Airflow-free."""
