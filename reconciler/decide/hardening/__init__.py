"""Hardening: logins by key only, input rules, bans after wrong logins. The texts, and how a machine differs from
them."""

from __future__ import annotations

SSH, FIREWALL, FAIL2BAN = PARTS = ("ssh", "firewall", "fail2ban")

WRITTEN = "Written by `reconciler bootstrap`, which replaces the whole file."
