"""What workers on small problems import; the fork server of a test session imports it once for all of them."""

import benchmark.trial
import tasks.models
import tasks.supervised

__all__ = ["benchmark", "tasks"]
