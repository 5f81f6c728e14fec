"""The server: every client of GPT-SoVITS, and of OpenAI's speech, answered by voices of this project.

`sovits-export serve` starts it; `sovits_server.app.build_app` gives it as an ASGI application.
"""

import sovits_runtime as _runtime  # noqa: F401 - turns telemetry off before any other import
