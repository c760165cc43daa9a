"""gRPC's own log lines are off, as it reads this when it is first imported.

They name no party and no way on: what a call failed by is said by its own error. Who wants them
sets GRPC_VERBOSITY. Programs import this before anything that imports grpc.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
