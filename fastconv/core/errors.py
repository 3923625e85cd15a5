"""The errors that are fastconv's own; everything else is a plain TypeError or ValueError."""


class BackendRefused(ValueError):
    """A backend was named that cannot do the call; the message holds its reason."""


class WorkspaceError(MemoryError):
    """No backend can do the call within ``max_workspace`` bytes."""
