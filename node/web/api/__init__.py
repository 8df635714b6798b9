"""The endpoints of ``/api/v1``, one resource a file. A handler parses ids, calls one service and shapes the answer."""
