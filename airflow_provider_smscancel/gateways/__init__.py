"""What travels on the wire: builds requests, reads answers. No I/O, no clock, no Airflow."""
