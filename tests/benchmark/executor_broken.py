"""A module that cannot be imported, and not for want of a module: for test_executors."""

raise RuntimeError("this module is broken")
