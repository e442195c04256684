"""What listens to recordings, in processes of its own: one that decodes, one that recognises. Neither knows us."""
