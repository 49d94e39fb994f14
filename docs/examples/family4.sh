#!/bin/sh
# The routes of a queue-management system. Usage: family4.sh [base URL] [key] [tenant]; or FACTEUR_URL and FACTEUR_KEY.
set -eu
base="${1:-${FACTEUR_URL:-http://${FACTEUR_LISTEN:-127.0.0.1:8080}}}"
key="${2:-${FACTEUR_KEY:?an API key: facteur keys create --role admin --tenant default --name example}}"
tenant="${3:-default}"

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

event="ticket_created_$$"
template=$(call POST /api/v1/admin/notification-templates/ "{\"tenant\": \"$tenant\", \"name\": \"$event\", \"channel\": \"sms\",
  \"event\": \"$event\", \"body\": \"Bonjour {{customer_name}}, ticket {{ticket_number}}\"}" | field id)
call POST "/api/v1/admin/notification-templates/$template/preview" '{"context": {"customer_name": "Awa", "ticket_number": "A042"}}' |
  grep -q 'Bonjour Awa, ticket A042'

# Without a consent nothing is sent, and the answer says so.
context='"context": {"customer_name": "Awa", "ticket_number": "A042"}'
call POST "/api/v1/tenants/$tenant/events/$event" "{\"recipient\": \"+221771234567\", \"consent\": false, $context}" |
  grep -q '"code":"consent_missing"'
id=$(call POST "/api/v1/tenants/$tenant/events/$event" "{\"recipient\": \"+221771234567\", \"consent\": true, $context}" | field id)
call GET "/api/v1/notifications/$id" | grep -q 'Bonjour Awa, ticket A042'

call POST /api/v1/notifications "{\"body\": \"Bonjour {{customer_name}}\", \"channel\": \"sms\", \"recipient\": \"+221771234567\",
  \"context\": {\"customer_name\": \"Awa\"}, \"tenant_id\": \"$tenant\"}" | grep -q '"body":"Bonjour Awa"'
call GET "/api/v1/notifications?tenant_id=$tenant&limit=2" > /dev/null
call DELETE "/api/v1/admin/notification-templates/$template" > /dev/null
echo "family 4: done"
