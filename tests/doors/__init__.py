"""What users of SciPy find."""
