"""What listens to recordings, in processes of their own: one that decodes, and one that recognises. Neither knows us."""
