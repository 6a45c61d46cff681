"""`monitor`: a process of its own that shows how things stand. It reads, and changes nothing on the machine."""
