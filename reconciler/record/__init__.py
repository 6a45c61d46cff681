"""Memory and voice: the journal, what is told on a commit, what a person reads. Append only."""
