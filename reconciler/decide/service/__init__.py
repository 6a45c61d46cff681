"""The files of the service, and the calls of the service manager, as values."""
