"""The Brain API: documents, their meaning and their links, over HTTP."""
