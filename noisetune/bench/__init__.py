"""Measurements that anyone can run: each compares two ways within one run."""
