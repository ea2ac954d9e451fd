"""What people see and what is kept: the page, the HTTP routes, the supervisor, the queue, the store and the files.

Nothing is imported here: the worker and the page both start with this package and need different halves of it.
"""
from __future__ import annotations

__version__ = "0.1.0"
