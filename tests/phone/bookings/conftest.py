"""Fixtures of this folder."""

from conftest_bookings import clock, database, diary, postgres, practice

__all__ = ["clock", "database", "diary", "postgres", "practice"]
