"""The reference of every setting, made of the models' own fields and docstrings."""
