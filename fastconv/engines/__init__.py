"""The loops, one folder an engine. An engine knows arrays and numbers, not problems or plans."""
