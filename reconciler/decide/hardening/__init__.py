"""Closes a machine: logins by key only, input rules, bans after wrong logins. Texts, and what facts say of them."""

from __future__ import annotations

SSH, FIREWALL, FAIL2BAN = PARTS = ("ssh", "firewall", "fail2ban")

WRITTEN = "Written by `reconciler bootstrap`, which replaces the whole file."
