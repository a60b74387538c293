"""Answers from documents that the organisation owns: every statement with the passage that supports it, or none."""
