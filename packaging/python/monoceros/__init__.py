"""Monoceros, a server for Python web applications: two programs in the environment's bin, `supervisor` and `worker`.

`python -m monoceros` runs the first, where PATH does not find it.
"""
