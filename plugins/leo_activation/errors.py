"""Every error the platform raises on purpose.

LeoError
├── ConfigurationError      a setting is missing or unusable
├── UnknownTenantError      the tenant does not exist, or is not the caller's
├── UnknownProfileError     the tenant has no such customer
├── UnknownSegmentError     the segment is not in the catalogue of this tenant
├── EmptySegmentError       the segment has no member, so there is nothing to freeze
├── SnapshotConflictError   a run id was reused for something else
├── SourceError             the CDP could not be read
├── DecisionError           the instruction could not be turned into a plan
├── TemplateError           a message template cannot be rendered
├── LedgerError             the ledger refused a write
├── RenewalError            a credential could not be renewed now; nothing was lost
└── QualityError            a check of the finished work failed

A message names what, which value, and what to do; it never holds a secret.
"""

from __future__ import annotations


class LeoError(Exception):
    """Base of all errors that the platform raises on purpose."""


class ConfigurationError(LeoError):
    """A setting is missing or unusable."""


class UnknownTenantError(LeoError):
    """The tenant does not exist, or is not the caller's."""


class UnknownProfileError(LeoError):
    """The tenant has no such customer."""


class UnknownSegmentError(LeoError):
    """The segment is not in the catalogue of this tenant."""


class EmptySegmentError(LeoError):
    """The segment has no member, so there is nothing to freeze."""


class SnapshotConflictError(LeoError):
    """A run id was reused for another segment or campaign."""


class SourceError(LeoError):
    """The CDP could not be read."""


class DecisionError(LeoError):
    """The instruction could not be turned into a plan."""


class TemplateError(LeoError):
    """A message template cannot be rendered."""


class LedgerError(LeoError):
    """The ledger refused a write."""


class RenewalError(LeoError):
    """A credential could not be renewed now, and nothing was lost: try again later."""


class QualityError(LeoError):
    """A check of the finished work failed."""
