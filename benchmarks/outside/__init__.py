"""Other projects' stream readers on the engine of triggerkit, judged by one judge.

A subject is installed from PyPI at a pinned version into an environment of its own and is used as
its documentation says; nothing of it is copied, patched or kept here.
"""
