"""Stored state and output: the journal, notes on commits, texts for people. Append only."""
