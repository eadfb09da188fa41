"""Seed problems in, annotated OmegaPRM trees out."""
