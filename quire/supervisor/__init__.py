"""Child processes that are kept alive while we live, and never outlive us."""

from quire.supervisor.child import Child
from quire.supervisor.supervisor import ChildFailed, StopRequested, Supervisor

__all__ = ["Child", "ChildFailed", "StopRequested", "Supervisor"]
