"""A small durable queue of headless tasks for Claude Code."""
