#!/bin/sh
# The demo of docker-compose.yml: sends messages of every kind, with faults in the middle, and shows what became of them.
set -eu
sim="$TWILIO_BASE_URL/_sim"
post() { curl -fsS -X POST -H 'content-type: application/json' -d "$2" "$sim/$1" > /dev/null; }

post opt-outs '{"to": "+33612999999"}'
facteur send --to +33612999999 --body "Opted out at Twilio"
facteur send --to +15005550001 --body "No such number"
facteur send --to +15005550003 --body "A destination that is not enabled"
for n in 10 11 12 13 14 15 16 17 18 19; do
  facteur send --lane urgent --category otp --to "+336123450$n" --body "Votre code : 4711$n"
  facteur send --lane bulk --category marketing --to "+336123451$n" --body "Soldes d'hiver $n"
  facteur send --to "+336123452$n" --template document_uploaded --language en --var name="Jean $n" --var document=contract-$n || true
  case $n in
    13) post faults '{"rules": [{"fault": "throttle_storm"}], "for_requests": 10}' ;;
    16) post faults '{"rules": [{"fault": "error_503_before", "probability": 0.5}, {"fault": "reply_lost", "every": 5}], "for_requests": 10}' ;;
  esac
done
echo "All published. Look at: docker compose exec worker facteur dead list; curl -s localhost:9464/metrics"
curl -fsS "$sim/stats"
