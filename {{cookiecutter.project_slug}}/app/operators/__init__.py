"""The people who run the platform: their own credentials, and a trail of all that they change.

A feature with routes of its own for operators declares them `operators_only(action=…)`, takes a
`CurrentAction`, and records it on the connection that makes the change.
"""

from app.operators.dependencies import CurrentAction, CurrentOperator, OperatorSession
from app.operators.trail import PendingAction, record_action

__all__ = ["CurrentAction", "CurrentOperator", "OperatorSession", "PendingAction", "record_action"]
