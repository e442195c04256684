"""Pure routing decisions: requirements and a snapshot in, an ordered plan with reasons out."""
