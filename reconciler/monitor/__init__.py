"""`monitor`: a separate process that shows the state of the host. It changes nothing on the machine."""
