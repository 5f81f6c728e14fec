#!/usr/bin/env bash
# Trains the demo voice from nothing and packs it; see README.md for what it needs and takes.
set -euo pipefail
work=$(realpath -m "${1:?usage: train.sh WORK_FOLDER [ARCHIVE]}")
archive=$(realpath -m "${2:-$work/demo_voice.tar.xz}")
cd "$(dirname "$0")"

python corpus.py "$work/corpus"
python measure.py "$work/corpus"
python vocoder.py "$work/corpus" "$work/vocoder" & # on one core, while the other learns words
vocoder=$!
python speech_encoder.py "$work/corpus" "$work/encoder"
python prior.py "$work/corpus" "$work/encoder" "$work/prior"
python gpt.py "$work/corpus" "$work/encoder" "$work/gpt"
wait "$vocoder"
# A last round on what the prior draws, which is what the decoder will hear from now on.
python vocoder.py "$work/corpus" "$work/vocoder-tuned" --start "$work/vocoder/vocoder.pt" \
    --latents "$work/prior/latents.npz" --steps 2000 --rate 4e-4 --judges-from 0 --threads 2
python pack.py "$work/corpus" "$work/encoder" "$work/gpt" "$work/prior" "$work/vocoder-tuned" "$work/voice" \
    --archive "$archive"
