"""Faults planted in the rules are noticed: a sample of what `python -m bench mutants` does in full."""

from __future__ import annotations

from bench.mutants import is_equivalent, mutants, survivors


def test_cases_notice_a_sample_of_planted_faults() -> None:
    sample = [mutant for mutant in mutants() if not is_equivalent(mutant.name)][::9]
    assert len(sample) > 100
    assert len(survivors(sample)) <= len(sample) * 0.05
