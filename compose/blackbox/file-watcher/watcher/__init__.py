"""Keeps brain-api's picture of watched folders as the files are. Start: `watching.Watcher.turn`."""
