"""Raw data with provenance, checks and quarantine; datasets; the prediction table."""
