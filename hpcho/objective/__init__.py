"""The user's objective: a Python function, a classic hyperas file or a command."""
