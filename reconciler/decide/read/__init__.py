"""Reads a commit strictly: files, documents and variables, each finding with its place."""
