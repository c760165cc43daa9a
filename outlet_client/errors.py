"""The errors of `outlet_client`.

OutletError
+-- QuestionRefused     a question that does not fit its signed plan
"""

from __future__ import annotations


class OutletError(Exception):
    """Base of every error that `outlet_client` raises on purpose."""


class QuestionRefused(OutletError):
    """A question that does not fit its signed plan, or another plan under an answered name."""
