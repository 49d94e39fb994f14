#!/bin/sh
# The routes of a back office. Usage: family2.sh [base URL] [key]; or FACTEUR_URL and FACTEUR_KEY.
set -eu
base="${1:-${FACTEUR_URL:-http://${FACTEUR_LISTEN:-127.0.0.1:8080}}}"
key="${2:-${FACTEUR_KEY:?an API key: facteur keys create --role admin --tenant default --name example}}"

# call METHOD PATH [BODY]: prints the answer, and fails if it is an error.
call() {
  echo "> $1 $2" >&2
  answer=$(curl --silent --show-error --fail-with-body --request "$1" "$base$2" --header "Authorization: Bearer $key" \
    --header 'Content-Type: application/json' ${3:+--data "$3"}) || { printf "%s\n" "$answer" >&2; return 1; }
  printf "%s\n" "$answer" >&2
  printf "%s\n" "$answer"
}

call POST /api/sms/format-phone '{"phone": "0612345678", "country": "FR"}' | grep -q '"formatted":"+33612345678"'
call POST /api/sms/send '{"to": "+33612345678", "message": "Bonjour Jean"}' | grep -q '"success":true'
call POST /api/sms/notification '{"to": "+33612345678", "type": "appointment_confirmed",
  "data": {"name": "Jean Dupont", "date": "lundi 15 janvier 2026", "time": "14:30"}}' | grep -q '"messageId":"'
call POST /api/sms/bulk '{"message": "Bonjour {{name}}", "recipients": [
  {"phone": "+33612345673", "name": "Jean"}, {"phone": "12", "name": "A bad number"}]}' | grep -q '"total_recipients":2'
call GET '/api/sms/test?to=+33612345678' | grep -q '"success":true'

# What is wrong is said in the family's own shape.
refused=$(curl --silent --request POST "$base/api/sms/send" --header "Authorization: Bearer $key" \
  --header 'Content-Type: application/json' --data '{"to": "12", "message": "x"}')
printf "%s\n" "$refused" | grep -q '"success":false'
echo "family 2: done"
