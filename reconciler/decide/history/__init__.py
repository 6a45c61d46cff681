"""The History from the journal's records, and what is no longer needed."""
