"""The page that an approver decides from: what is read for it, what it says, and how it looks."""
