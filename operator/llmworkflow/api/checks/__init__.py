"""What must be right about a workflow as a whole, one concern a file."""
