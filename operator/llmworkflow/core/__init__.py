"""The pure planner: from what is wanted and what is seen to what is done next. No I/O, no clock."""
