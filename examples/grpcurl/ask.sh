#!/bin/sh
# Asks a gateway by gRPC with the operator's certificate: which methods there are, one answer whole, one as it comes.
#
#   ./ask.sh MODEL [HOST:PORT]
set -eu
model=$1
gateway=${2:-127.0.0.1:7400}
id=${NEXUS_HOME:-$HOME/.local/share/nexus}/identities/operator

call() {
    grpcurl -cacert "$id/bundle.pem" -cert "$id/chain.pem" -key "$id/key.pem" -authority gateway.nexus.internal "$@"
}
ask() { # PROMPT METHOD: `body` is the JSON text of OpenAI's API
    call -d @ "$gateway" "nexus.inference.v1.InferenceService/$2" <<EOF
{"envelope": {"operation": "OPERATION_CHAT", "model": "$model",
              "body": "{\"messages\": [{\"role\": \"user\", \"content\": \"$1\"}]}"}}
EOF
}

call "$gateway" list nexus.inference.v1.InferenceService
ask "Name one moon of Saturn." Complete
ask "Count from one to five." Stream
