"""The report of a run, made from its logs: it never looks into a session."""
