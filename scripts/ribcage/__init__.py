"""Ribcage: a reference pipeline for learning from chest X-rays."""
