#!/bin/sh
# The routes of a campaign front end. Usage: family1.sh [base URL] [key]; or FACTEUR_URL and FACTEUR_KEY.
set -eu
base="${1:-${FACTEUR_URL:-http://${FACTEUR_LISTEN:-127.0.0.1:8080}}}"
key="${2:-${FACTEUR_KEY:?an API key: facteur keys create --role sender --tenant default --name example}}"

# call METHOD PATH [BODY]: prints the answer, and fails if it is an error.
call() {
  echo "> $1 $2" >&2
  answer=$(curl --silent --show-error --fail-with-body --request "$1" "$base$2" --header "Authorization: Bearer $key" \
    --header 'Content-Type: application/json' ${3:+--data "$3"}) || { printf "%s\n" "$answer" >&2; return 1; }
  printf "%s\n" "$answer" >&2
  printf "%s\n" "$answer"
}
# field NAME: the first text of that name in an answer.
field() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4 | grep .; }
# until_not WORD PATH: asks until the status is another one.
until_not() {
  tries=0
  while status=$(call GET "$2" | field status) && [ "$status" = "$1" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { echo "$2 is still $1" >&2; exit 1; }
    sleep 1
  done
}

id=$(call POST /twilio/send-sms '{"phone_number": "+33612345678", "message": "Bonjour Jean", "channel": "sms"}' | field id)
until_not pending "/twilio/status/$id"
sid=$(call GET "/twilio/status/$id" | field message_sid)
[ "$(call GET "/twilio/status/$sid" | field id)" = "$id" ]

call POST /twilio/send-mms '{"phone_number": "+15005550010", "message": "Hello", "media_url": "https://example.org/a.jpg"}' > /dev/null
call POST /twilio/send-whatsapp '{"phone_number": "+33612345678", "message": "Bonjour Jean"}' | grep -q '"channel":"whatsapp"'

bulk=$(call POST /twilio/send-bulk '{"channel": "sms", "message": "Bonjour {{nom}}, vous êtes invité le {{date}}", "recipients": [
  {"phone_number": "+33612345671", "name": "Jean Dupont", "variables": {"nom": "Jean Dupont", "date": "2026-06-15"}},
  {"phone_number": "12", "variables": {"nom": "A bad number", "date": "2026-06-15"}},
  {"phone_number": "+33612345672", "variables": {"nom": "A missing date"}}]}' | field id)
until_not processing "/twilio/bulk/$bulk/status"
call GET "/twilio/bulk/$bulk/status" | grep -q '"progress":{"total":3,"sent":1,"failed":2,"pending":0}'
call POST "/twilio/bulk/$bulk/retry" > /dev/null

call GET '/twilio/history?channel=sms&limit=2' | grep -q "\"channel\":\"sms\""

template=$(call POST /api/templates "{\"name\": \"Invitation $id\", \"content\": \"Bonjour {{nom}}\", \"channel\": \"sms\"}" | field id)
call PATCH "/api/templates/$template" '{"content": "Bonsoir {{nom}}"}' > /dev/null
call DELETE "/api/templates/$template" > /dev/null
echo "family 1: done"
