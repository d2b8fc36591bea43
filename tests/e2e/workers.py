"""What workers on small problems import, seconds apiece; the fork server of a test session imports it once for all of them."""

import sklearn.datasets
import torchmetrics

import benchmark.trial

__all__ = ["benchmark", "sklearn", "torchmetrics"]
