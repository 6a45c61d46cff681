"""An autonomous loop around Claude Code: a prompt file, one fresh process per turn, one commit per turn."""
