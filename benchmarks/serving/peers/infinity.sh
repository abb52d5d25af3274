#!/bin/sh
# infinity.sh PYTHON MODEL PORT: infinity-emb with its ONNX engine where the model has a file for it, torch otherwise
exec "$(dirname "$1")/infinity_emb" v2 --model-id "$2" --served-model-name classifier --port "$3" \
    --host 127.0.0.1 --device cpu --engine "${ENGINE:-torch}" --no-bettertransformer --log-level warning
