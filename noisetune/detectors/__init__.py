"""Detectors of label errors: one file each, the file's name is its name in YAML."""
