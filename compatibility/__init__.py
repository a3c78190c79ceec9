"""Which Airflows and Pythons this package is tried on, and how each of them is set up. `make matrix` runs them all."""
