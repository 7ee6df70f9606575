"""Signals while a network computes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A thousand signals a second through the steps of an LSTM. Its products are long enough for oneDNN to take a workspace.
STORM = """
import signal, time, torch
from itersep.signals import use_signal_stack
use_signal_stack()
torch.set_num_threads(1)
lstm, x = torch.nn.LSTM(64, 128, bidirectional=True), torch.randn(100, 64, 64)
caught = []
signal.signal(signal.SIGALRM, lambda *_: caught.append(0))
lstm(x)[0].sum().backward()
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + 2
while time.monotonic() < end:
    lstm(x)[0].sum().backward()
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(caught) > 0)
"""


def test_signals_do_no_harm_to_what_a_network_computes():
    done = subprocess.run([sys.executable, "-c", STORM], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
