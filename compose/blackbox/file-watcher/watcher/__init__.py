"""Keeps brain-api in line with the files in the watched folders. Start reading at `watching.Watcher.turn`."""
