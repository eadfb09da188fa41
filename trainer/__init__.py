"""Step labels in, a PRM checkpoint out."""
