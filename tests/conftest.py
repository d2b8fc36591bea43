"""One thread and repeatable examples: tests neither fight for cores nor flicker."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("lossbench", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("lossbench")
