//! Codes that carriers and Twilio's delivery report (30xxx).

errors! {
    30001 Async Throttled "The Messaging Service's queue overflowed: ten hours of its senders' rate."
        "Lower the rate here, or add senders to the pool; then send again what is still wanted.";
    30002 Async Account "The account was suspended between acceptance and sending."
        "Find out in Twilio's console why (billing, compliance); then send again what is still wanted.";
    30003 Async RecipientTemporary "The handset is off, without signal, or its carrier has trouble; now and then a landline."
        "Try again in some hours; if it never works, ask for another number.";
    30004 Async Recipient "The destination blocks the message: do-not-disturb list, STOP to a toll-free number, or the contract."
        "Nothing from here: the recipient has to ask their carrier.";
    30005 Async Recipient "The number is unknown or not in service any more."
        "Correct the number at its source.";
    30006 Async Recipient "The number is a landline, or its carrier can't be reached from this sender."
        "Ask for a mobile number, or try another kind of sender; don't repeat.";
    30007 Async Content "Twilio or a carrier filtered the message as unwanted."
        "Change the text (shortened links, capitals, forbidden subjects) and check the sender's registration.";
    30008 Async Ambiguous "The carrier gave no reason."
        "At most one more try; if it happens often for one country or sender, open a ticket with examples.";
    30009 Inbound Notice "A part of an inbound message never came."
        "Nothing: ask the person to write again.";
    30010 Async Destination "The message costs more than the maximum price that was set."
        "We set none: remove it from the Messaging Service, then requeue.";
    30011 Async Recipient "The recipient's carrier or region can't receive MMS."
        "Send the text without media, with a link if need be.";
    30012 Both Content "The validity period is too short."
        "Let the job expire later.";
    30013 Both Content "The validity period is too long."
        "At most 36,000 seconds: a fault of ours, report it.";
    30015 Sync Content "The channel is not supported here."
        "Compare the prefixes of recipient and sender.";
    30016 Sync Content "The channels of recipient and sender don't match."
        "Use a whatsapp: sender for a whatsapp: recipient, and a number for a number.";
    30017 Async Transient "The carrier's network was congested; Twilio had already tried more than once."
        "Send again later what is still wanted.";
    30018 Async Sender "The recipient's carrier wants the sender id registered."
        "Register the sender for that country in Twilio's console, or use a number.";
    30019 Async Content "Text or media are larger than the carrier takes."
        "Make the media smaller (under 600 KB passes nearly everywhere).";
    30020 Async Transient "Twilio failed inside while it scheduled the message."
        "Send again what is still wanted.";
    30021 Async Transient "Twilio failed inside while it sent the message."
        "Send again what is still wanted.";
    30022 Async Throttled "The campaign's rate at a United States carrier was exceeded (10DLC)."
        "Lower the sender's rate here to what the campaign allows.";
    30023 Async Throttled "The brand's daily limit at a United States carrier is used up (10DLC)."
        "Wait until midnight Pacific time, or ask for a higher trust score.";
    30024 Async Sender "The sender id lacks a registration that the carrier wants."
        "Register the sender for that country in Twilio's console.";
    30025 Async Notice "Half of the brand's daily limit at a United States carrier is used (10DLC)."
        "Spread what is left over the day.";
    30026 Async Notice "70 % of the brand's daily limit at a United States carrier is used (10DLC)."
        "Keep the rest for what matters: pause the bulk lane.";
    30027 Async Throttled "The daily limit at a United States carrier is used up (10DLC)."
        "Wait until midnight Pacific time, or ask for a higher trust score.";
    30029 Sync Content "A retention parameter is not valid."
        "A fault of ours or of a proxy that rewrites requests: report it.";
    30030 Sync Content "A rate parameter is not valid."
        "A fault of ours or of a proxy that rewrites requests: report it.";
    30031 Sync Content "A rate parameter is out of range."
        "A fault of ours or of a proxy that rewrites requests: report it.";
    30032 Async Sender "The toll-free number is not verified."
        "Submit the verification in Twilio's console; it takes days, so use another sender meanwhile.";
    30033 Async Sender "The sender's campaign was suspended (10DLC)."
        "Read the reason in Twilio's console under Regulatory Compliance and appeal.";
    30034 Async Sender "The number belongs to no registered campaign (10DLC)."
        "Add the number to a Messaging Service with an approved campaign.";
    30035 Async Sender "The number's campaign registration is not finished yet (10DLC)."
        "Wait for the registration, up to some days, or use another sender.";
    30036 Async Throttled "The validity period ran out while the message stood in Twilio's queue."
        "Send again only if it is still wanted; lower the sender's rate here so that nothing queues there.";
    30038 Inbound Notice "An inbound message with a one-time password was filtered."
        "Nothing.";
    30039 Inbound Notice "An inbound message was filtered, because two machines seem to talk."
        "Find out what answers automatically.";
    30044 Async Destination "A trial account can't send a text of so many segments."
        "Upgrade the account, then requeue; or shorten the text.";
    30045 Both Content "The validity period is out of range."
        "It is 1 to 36,000 seconds: check the job's expires_at.";
    30047 Async Transient "Twilio failed inside while it sent the message."
        "Send again what is still wanted.";
    30409 Sync Content "The message can't be withdrawn any more."
        "Nothing: it has been sent or has failed already.";
    30410 Async Ambiguous "A provider did not answer in time; Twilio gave up rather than send twice."
        "The recipient may have it: ask them, or look for a receipt, before sending again.";
    30450 Async RecipientTemporary "Twilio blocks the number for a while: it looks like SMS pumping."
        "Wait half an hour; if it spreads, protect the form that triggers the messages.";
    30500 Async Transient "Twilio failed inside."
        "Send again what is still wanted; see status.twilio.com.";
    30610 Async RecipientTemporary "It is night or a holiday where the recipient lives (quiet hours)."
        "Send in the daytime; set send_at.";
    30640 Async Recipient "The recipient is listed as one who sues over messages."
        "Nothing: don't write to this number.";
}
