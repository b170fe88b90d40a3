"""Checks of finished work: what came in, and what the ledger says went out.

Two suites, run by Great Expectations over PostgreSQL as one tenant:

``raw_in``
    after an ingest: ids, lifecycles, phones, e-mail addresses, merges, rejects, freshness;
``ledger_out``
    at the end of a campaign run (one snapshot), or as an audit of the whole ledger: orphans,
    missing traces, outcomes that do not add up, broken manifests, doubled messages.

dbt's tests guard the models between these two borders.
"""

from __future__ import annotations

from leo_activation.quality.checks import SUITES, Check, Severity
from leo_activation.quality.report import CheckResult, QualityReport
from leo_activation.quality.suite import run_suite

__all__ = ["SUITES", "Check", "CheckResult", "QualityReport", "Severity", "run_suite"]
