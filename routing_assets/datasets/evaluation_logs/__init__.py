"""Results of evaluation tools, read as the tools write them: each becomes a label table.

One file per format. A format recognises its files by their content, never by their name alone.
"""

from routing_assets.datasets.evaluation_logs.calls import Call, labels_of_calls
from routing_assets.datasets.evaluation_logs.formats import LOGS, CallLog, log_of

__all__ = ["LOGS", "Call", "CallLog", "labels_of_calls", "log_of"]
