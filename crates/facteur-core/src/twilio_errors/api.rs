//! Codes of the API itself: webhooks (11xxx to 14xxx), requests (20xxx) and messages (21xxx).

errors! {
    10001 Sync Account "The account is not active."
        "Reactivate the account in Twilio's console (billing, verification, suspension); sending resumes by itself.";
    11200 Webhook Notice "Twilio could not fetch one of our URLs."
        "Open the URL from outside; check that FACTEUR_PUBLIC_URL points at the web process.";
    11205 Webhook Notice "Twilio could not connect to one of our URLs."
        "Check firewall, load balancer and that the web process listens.";
    11206 Webhook Notice "One of our URLs answered something that is not HTTP."
        "Check that the URL's port speaks HTTPS and that no proxy cuts answers short.";
    11210 Webhook Notice "The host name of one of our URLs does not resolve."
        "Correct the DNS record or FACTEUR_PUBLIC_URL.";
    11215 Webhook Notice "One of our URLs redirects too often."
        "Give the final URL as FACTEUR_PUBLIC_URL; a redirected callback loses its parameters.";
    11220 Webhook Notice "The TLS handshake with one of our URLs failed."
        "Check the certificate chain and the TLS versions of the public end.";
    11235 Webhook Notice "The certificate of one of our URLs is for another host."
        "Install a certificate that names the host of FACTEUR_PUBLIC_URL.";
    11236 Webhook Notice "The certificate of one of our URLs has expired."
        "Renew the certificate.";
    11237 Webhook Notice "The certificate of one of our URLs leads to no trusted root."
        "Serve the intermediate certificates too.";
    11750 Webhook Notice "The answer of one of our webhooks is over 64 KB."
        "Answer callbacks with an empty body; look at what stands in front of the web process.";
    12100 Webhook Notice "The answer of one of our webhooks is not well-formed XML."
        "See what really answers at that URL: often an error page of a proxy.";
    12200 Webhook Notice "The answer of one of our webhooks is not valid TwiML."
        "See what really answers at that URL: often another application.";
    12300 Both Content "A URL was served with a Content-Type that Twilio can't use."
        "Serve the media with their true type (image/jpeg, application/pdf …); for a webhook, answer text/xml.";
    14101 Webhook Content "A reply in TwiML names a recipient that is not a valid number."
        "Correct the TwiML, or take away what still answers with TwiML at the number.";
    14102 Webhook Sender "A reply in TwiML names a sender that can't be used."
        "Correct the TwiML, or take away what still answers with TwiML at the number.";
    14103 Webhook Content "A reply in TwiML has a text that is empty or too long."
        "Correct the TwiML; texts have 1 to 1,600 characters.";
    14107 Async Throttled "More than 15 replies went between two numbers with hardly a pause: Twilio suspects two machines."
        "Find out what answers automatically on the other side; the block ends after about 30 seconds of silence.";
    14108 Webhook Sender "A reply in TwiML comes from a number that can't send SMS."
        "Reply from a number with SMS.";
    14109 Async Content "More than ten replies were given to one inbound message."
        "Answer one inbound message with at most ten; send the others through the API.";
    14111 Webhook Destination "A trial account replies in TwiML to a number that is not verified."
        "Verify the number in Twilio's console or upgrade the account.";
    20001 Sync Content "A parameter of the request is unknown or malformed."
        "Read Twilio's sentence in the attempt; if the job looks right, this is a fault of ours: report it.";
    20003 Sync Account "The credentials are wrong, or may not send."
        "Compare account SID, token or API key with Twilio's console (was the token rotated?), then `facteur doctor`.";
    20005 Sync Account "The account is not active."
        "Reactivate the account in Twilio's console; sending resumes by itself.";
    20006 Sync Account "Access denied."
        "Check in Twilio's console what the credentials may do.";
    20008 Sync Account "Test credentials were used for something that only live ones can do."
        "Configure the live account SID and token; test credentials know only the magic numbers.";
    20010 Sync Account "This action is disabled for the account."
        "Ask Twilio's support why the account may not send.";
    20011 Sync Account "The connection uses a TLS version that Twilio no longer takes."
        "Find the proxy between us and Twilio that speaks old TLS; we speak 1.2 and 1.3.";
    20012 Sync Account "The connection uses a cipher that Twilio no longer takes."
        "Find the proxy between us and Twilio that speaks old TLS; we speak 1.2 and 1.3.";
    20403 Sync Account "Access denied."
        "Check in Twilio's console what the credentials may do, and whether the account is limited to certain networks.";
    20404 Sync NotFound "The account or resource does not exist, or the account SID is malformed."
        "Compare the account SID with Twilio's console; if it is right, Twilio missed a beat: requeue.";
    20409 Sync Content "The request conflicts with the state of a resource."
        "Read Twilio's sentence in the attempt, then send a new job if it is still wanted.";
    20413 Sync Content "The request is too large."
        "Shorten variables and URLs.";
    20422 Sync Content "A parameter of the request is invalid."
        "Read Twilio's sentence in the attempt and correct the job.";
    20429 Sync Throttled "Too many requests at the same time; this one was not processed."
        "Nothing to do: concurrency is lowered by itself. If it lasts, look for other programs on the same account.";
    20500 Sync Ambiguous "Twilio failed inside; the message may have been created."
        "Wait for the reconciliation; before sending by hand, look the recipient up in Twilio's message log.";
    20503 Sync Ambiguous "Twilio is unavailable; the message may have been created."
        "See status.twilio.com; wait for the reconciliation.";
    21201 Sync Content "No recipient was given."
        "Name the recipient in `to`.";
    21211 Sync Recipient "The recipient's number is not valid."
        "Correct the number at its source, and send a new job.";
    21212 Sync Sender "The sender is not valid."
        "Give the sender in E.164 or as a Messaging Service, as it stands in Twilio's console.";
    21214 Sync Recipient "The recipient's number can't be reached."
        "Correct the number at its source.";
    21217 Sync Recipient "The recipient's number does not look like one."
        "Correct the number at its source.";
    21219 Sync Destination "A trial account may only reach verified numbers."
        "Verify the number in Twilio's console or upgrade the account, then requeue.";
    21265 Sync Recipient "The recipient is a short code."
        "Short codes can't receive from us: ask for the person's number.";
    21266 Sync Recipient "Recipient and sender are the same number."
        "Correct the number at its source.";
    21267 Sync Sender "A trial account can't send from an alphanumeric sender."
        "Use a number as sender or upgrade the account.";
    21268 Sync Recipient "The recipient is a premium-rate number."
        "Ask for the person's mobile number.";
    21408 Sync Destination "The account is not enabled for the recipient's country."
        "Enable the country under Messaging, Geo permissions in Twilio's console, then requeue.";
    21601 Sync Sender "The sender can't send SMS."
        "Choose a number with SMS; this is an older form of 21606.";
    21602 Sync Content "The message has neither text nor media."
        "Give a text; check what the template renders to.";
    21603 Sync Sender "Neither a sender nor a Messaging Service was given."
        "Configure a default sender for the integration.";
    21604 Sync Content "No recipient was given."
        "Name the recipient in `to`.";
    21605 Sync Content "The text is over the 160 characters of Twilio's old SMS endpoint."
        "Point TWILIO_BASE_URL at the current API.";
    21606 Sync Sender "The account does not own the sender, or it can't reach this destination."
        "Compare the sender with the account's active numbers; a new number needs a few minutes.";
    21607 Sync Sender "A trial account must send from its trial number."
        "Use the trial number as sender or upgrade the account.";
    21608 Sync Destination "A trial account may only send to verified numbers."
        "Verify the number in Twilio's console or upgrade the account, then requeue.";
    21609 Sync Account "Twilio does not accept the callback URL."
        "Give FACTEUR_PUBLIC_URL as a public https URL whose host name has no underscore.";
    21610 Both Recipient "The recipient has opted out (STOP)."
        "Nothing: only the recipient can opt in again, by sending START to the sender.";
    21611 Sync Throttled "The sender's queue at Twilio is full: ten hours of its own rate."
        "Nothing at once; if it lasts, lower the sender's rate here or add senders.";
    21612 Sync Recipient "Twilio has no route from this sender to this recipient."
        "Try a sender of the recipient's country; alphanumeric senders and MMS don't pass everywhere.";
    21614 Sync Recipient "The recipient's number is not a mobile one."
        "Ask for a mobile number.";
    21616 Sync Sender "The sender stands for more than one thing."
        "Name the sender in full E.164.";
    21617 Sync Content "The text is over 1,600 characters."
        "Shorten the text; some characters, such as emoji, count more than once.";
    21618 Sync Content "The text is filtered everywhere."
        "Change the text: look for shortened links and words that carriers refuse.";
    21619 Sync Content "The message has neither text nor media."
        "Give a text; check what the template renders to.";
    21620 Sync Content "A media URL is malformed."
        "Give a full http or https URL that Twilio can fetch.";
    21621 Sync Destination "The sender can't send MMS."
        "Send without media, or from a number with MMS (United States and Canada), then requeue.";
    21622 Sync Destination "The account can't send MMS."
        "Send without media, or ask Twilio to enable MMS, then requeue.";
    21623 Sync Content "More than ten media."
        "Send at most ten media.";
    21624 Sync Content "The validity period is out of range."
        "It is 1 to 36,000 seconds: check the job's expires_at.";
    21626 Sync Account "Twilio does not accept the event that a callback is asked for."
        "A fault of ours or of a proxy that rewrites requests: report it.";
    21627 Sync Content "The maximum price is malformed."
        "We never send one: see what rewrites requests on the way.";
    21635 Sync Recipient "The recipient is a landline, in a country where Twilio does not try those."
        "Ask for a mobile number.";
    21652 Sync Content "The subject is not valid."
        "We never send one: see what rewrites requests on the way.";
    21653 Sync Content "Too many recipients in one message."
        "A job has one recipient: see what rewrites requests on the way.";
    21654 Sync Content "Content variables were given without a content SID."
        "Give the content_sid of the template.";
    21655 Sync Content "The content SID is not valid."
        "Compare content_sid with the Content Template Builder in Twilio's console.";
    21656 Sync Content "The content variables are not valid."
        "Give every variable that the template names, each as a short text without line breaks.";
    21657 Sync Sender "The sender id is not valid."
        "An alphanumeric id has up to 11 letters, digits and spaces, with at least one letter.";
    21658 Sync Content "A parameter is too long."
        "Shorten variables and URLs.";
    21659 Sync Sender "The sender is not a Twilio number, or a short code of another country."
        "Use a sender that stands in Twilio's console.";
    21660 Sync Sender "The sender belongs to another account."
        "Configure the integration with the account that owns the sender, or move the number.";
    21661 Sync Sender "The sender can't send SMS."
        "Choose a number with SMS.";
    21664 Sync Sender "A fallback sender was given without a Messaging Service."
        "Use a Messaging Service, or no fallback.";
    21666 Sync Sender "The fallback sender is not valid."
        "Correct the Messaging Service's fallback in Twilio's console.";
    21667 Sync Sender "A fallback sender can't be used with this sender."
        "Correct the Messaging Service's fallback in Twilio's console.";
    21701 Sync Sender "The Messaging Service does not exist."
        "Compare the MG… SID with Twilio's console; it belongs to one account only.";
    21702 Sync Sender "The Messaging Service can't be used."
        "Look at the service in Twilio's console: compliance, use case, senders.";
    21703 Both Sender "No sender of the Messaging Service can send this message."
        "Add to the service's pool a sender with the channel and the country that are needed.";
    21704 Both Sender "The Messaging Service has no senders."
        "Add a sender to the service's pool.";
    21705 Sync Sender "The Messaging Service's SID is not valid."
        "Compare the MG… SID with Twilio's console.";
    21708 Sync Sender "The alphanumeric sender is not allowed in the Messaging Service."
        "Correct the service's pool in Twilio's console.";
    21709 Sync Sender "The alphanumeric sender of the Messaging Service is not valid."
        "Correct the service's pool in Twilio's console.";
    21711 Sync Sender "The sender is not in the Messaging Service's pool."
        "Add it to the pool, or send without the service.";
    21712 Sync Sender "The sender is in the pool of another Messaging Service."
        "Remove it there, or name that service.";
    21730 Sync Transient "Twilio is under maintenance and did not take the message."
        "Nothing: tried again by itself. See status.twilio.com.";
    21910 Sync Content "Recipient and sender are of different channels."
        "Use a whatsapp: sender for a whatsapp: recipient, and a number for a number.";
}
