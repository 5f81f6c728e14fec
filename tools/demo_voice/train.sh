#!/usr/bin/env bash
# Trains the demo voice from nothing and packs it; see README.md for what it needs and takes.
# STEPS=20 CORPUS="--count 200 --more 200" train.sh WORK shows in minutes that everything runs; that voice says nothing.
set -euo pipefail
work=$(realpath -m "${1:?usage: train.sh WORK_FOLDER [ARCHIVE]}")
archive=$(realpath -m "${2:-$work/demo_voice.tar.xz}")
cd "$(dirname "$0")"
steps=${STEPS:+--steps $STEPS}

python corpus.py "$work/corpus" ${CORPUS:-}
python measure.py "$work/corpus"
python vocoder.py "$work/corpus" "$work/vocoder" $steps & # on one core, while the other learns words
vocoder=$!
python speech_encoder.py "$work/corpus" "$work/encoder" $steps
python prior.py "$work/corpus" "$work/encoder" "$work/prior" $steps
wait "$vocoder"
# A last round on what the prior draws, which is what the decoder will hear from now on.
python vocoder.py "$work/corpus" "$work/vocoder-tuned" --start "$work/vocoder/vocoder.pt" \
    --latents "$work/prior/latents.npz" --rate 4e-4 --judges-from 0 ${steps:---steps 2000} &
vocoder=$!
python gpt.py "$work/corpus" "$work/encoder" "$work/gpt" $steps
wait "$vocoder"
python pack.py "$work/corpus" "$work/encoder" "$work/gpt" "$work/prior" "$work/vocoder-tuned" "$work/voice" \
    --archive "$archive"
