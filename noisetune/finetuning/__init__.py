"""Methods of learning from noisy labels: one file each, the file's name is its name in YAML."""
