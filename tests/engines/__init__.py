"""The loops themselves."""
