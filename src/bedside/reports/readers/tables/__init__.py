"""Readers of tables, one a kind of device."""
