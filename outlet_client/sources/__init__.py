"""An outlet's own files and tables, and how they become canonical events."""
