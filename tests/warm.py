"""Imported once by the process that `runs` forks programs from: what takes seconds the first time."""

import signal

import numpy as np
import torch._dynamo  # noqa: F401 - torch's optimizers import it when the first is made
import torch.distributed.run  # noqa: F401 - torchrun

import itersep.data.clean
import itersep.report.page
import itersep.report.results
import itersep.score.scores
import itersep.separate.command
import itersep.share.hub
import itersep.train.trainer  # noqa: F401
from itersep.simulate.rir import simulate_rir
from itersep.system.signals import end_with_parent

end_with_parent(signal.SIGKILL)  # of the tests, however they ended
torch.set_num_threads(1)  # as in the tests themselves: small tensors
simulate_rir((4.0, 5.0, 3.0), 0.1, np.ones((1, 3)), np.full((1, 3), 2.0), 8000)  # loads what numba has compiled
