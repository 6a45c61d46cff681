"""`bootstrap`: makes a bare machine a reconciling host, from the laptop, over the user's own ssh.

A platform's part is a pure function from facts to a `Plan`: a list of changes as data. `driver` lets pyinfra's
operations make them. Only `connector` and `driver` import pyinfra, which is an extra.
"""
