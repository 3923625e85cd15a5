"""Every backend: the battery, error bounds, and what is particular to one."""
