"""The server in a program of your own: `sovits-export serve` does the same with all its options.

    pip install "sovits-export[cpu,en,serve]"
    python serve.py my-voice me.wav "What is said in it."      # then open http://127.0.0.1:9880

`sovits_server.app.build_app(config)` gives it as an ASGI application instead, for a server that you have already.
"""

import sys
from pathlib import Path

from sovits_server.config import load_config
from sovits_server.run.start import serve

if __name__ == "__main__":
    voice, recording, words = sys.argv[1:4]
    settings = {"bundles": [Path(voice)], "ref": Path(recording), "ref_text": words}
    serve(load_config(settings), print)
