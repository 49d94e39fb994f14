#!/bin/sh
# The routes of a shared inbox. Usage: family3.sh [base URL] [key] [company]; or FACTEUR_URL and
# FACTEUR_KEY. The company is a tenant that the key may administer.
set -eu
base="${1:-${FACTEUR_URL:-http://${FACTEUR_LISTEN:-127.0.0.1:8080}}}"
key="${2:-${FACTEUR_KEY:?an API key: facteur keys create --role admin --tenant example --name example}}"
company="${3:-example}"

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

# A first message, a reply, and who takes care of it.
talk=$(call POST /inbox/conversations '{"source": "sms", "phone_number": "+33612345674",
  "message": {"content": "Bonjour Jean", "is_from_client": false}}' | field id)
call POST "/inbox/conversations/$talk/messages" '{"content": "Nous vous attendons.", "media_urls": []}' | grep -q '"is_from_client":false'
call PATCH "/inbox/conversations/$talk" '{"assignee": "marie"}' | grep -q '"assignee":"marie"'
tries=0
until [ "$(call GET "/inbox/conversations/$talk" | grep -o '"external_id":"SM[0-9a-f]*"' | sort -u | wc -l)" -eq 2 ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { echo "no SID came" >&2; exit 1; }
  sleep 1
done
call GET '/inbox/conversations?limit=2' | grep -q "$talk"
call GET /inbox/contacts > /dev/null

# An account of a company's own.
id=$(call POST /inbox/integrations "{\"company_id\": \"$company\", \"name\": \"SMS Twilio Principal\",
  \"integration_type\": \"sms\", \"account_id\": \"AC0123456789abcdef0123456789abcdef\",
  \"api_key\": \"0123456789abcdef0123456789abcdef\", \"phone_number\": \"+33612345678\", \"is_active\": true}" | field id)
call GET /inbox/integrations | grep -q "$id"
call PATCH "/inbox/integrations/$id" '{"name": "SMS"}' | grep -q '"name":"SMS"'
call POST "/inbox/integrations/$id/default" | grep -q '"is_default":true'
# Twilio knows no such account: the answer says so.
call POST "/inbox/integrations/$id/test" | grep -q '"success":false'
call DELETE "/inbox/integrations/$id" | grep -q '"is_active":false'
if call GET "/inbox/integrations/$id" | grep -q api_key; then echo "credentials were given out" >&2; exit 1; fi
echo "family 3: done"
