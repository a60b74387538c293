"""Fixtures of the end-to-end tests."""

from conftest_e2e import release, small

from fixtures_model import base_gguf

__all__ = ["base_gguf", "release", "small"]
