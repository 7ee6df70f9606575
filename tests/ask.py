"""In the place of `python`: has tests/runs.py run a program as a process that need not load torch, and ends as it ends.

usage: ask.py ADDRESS [-u] program [options]
"""

import json
import os
import socket
import sys

address, *command = sys.argv[1:]
if command[0] == "-u":  # as torchrun has it
    del command[0]
asked = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ)}
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(address)
    socket.send_fds(connection, [b" "], [1, 2])
    connection.sendall(json.dumps(asked).encode())
    connection.shutdown(socket.SHUT_WR)
    status = int(connection.recv(9) or -9)
sys.exit(status if status >= 0 else 128 - status)
