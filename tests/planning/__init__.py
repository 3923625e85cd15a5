"""Which backend, and why."""
