"""Fuzzes the parsers: where it starts from, what it feeds, and what must hold."""
