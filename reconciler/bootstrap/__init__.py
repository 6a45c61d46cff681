"""`bootstrap`: sets up a bare machine as a host, from the laptop, over the user's own ssh.

Each platform has a pure function from facts to a `Plan`: a list of changes as data. `driver` makes the changes with
pyinfra's operations. Only `connector` and `driver` import pyinfra, which is an extra.
"""
