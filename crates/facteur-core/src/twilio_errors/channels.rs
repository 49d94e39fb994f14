//! Codes of scheduling (35xxx), of WhatsApp, RCS and other channels (63xxx) and of the rest of the request
//! (9xxxx).

errors! {
    35111 Sync Content "The instant at which Twilio was to send is out of its window."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    35112 Sync Content "A parameter that scheduling at Twilio needs is missing."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    35113 Sync Content "A parameter can't be combined with scheduling at Twilio."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    35114 Sync Content "The instant at which Twilio was to send is not valid."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    35115 Sync Content "The instant at which Twilio was to send is out of its window."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    35116 Sync Content "The kind of schedule is not valid."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    35117 Sync Content "The instant at which Twilio was to send is out of its window."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    35118 Sync Content "Scheduling at Twilio needs a Messaging Service."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    35125 Sync Throttled "500,000 messages are scheduled at Twilio already."
        "We schedule ourselves: another program uses the account. Wait for its messages to leave.";
    35126 Sync Content "A parameter of scheduling at Twilio is not valid."
        "We schedule ourselves and never ask for this: see what rewrites requests on the way.";
    63001 Both Sender "The channel refuses the sender's credentials."
        "Connect the WhatsApp or RCS sender again in Twilio's console.";
    63002 Both Sender "The channel does not know the sender."
        "Compare the sender with the channel's senders in Twilio's console.";
    63003 Both Recipient "The channel does not know the recipient."
        "The person has no account there, or an old application: send an SMS.";
    63005 Async Content "The channel refused the content."
        "Read the channel's sentence in Twilio's log; simplify media and formatting.";
    63006 Async Content "The content can't be put into the channel's form."
        "Check media types and the template's form for this channel.";
    63007 Both Sender "No channel of that kind exists for the sender."
        "Register the sender for WhatsApp, or write the right whatsapp:+… sender; the sandbox is +14155238886.";
    63008 Both Sender "The channel is set up wrongly for the sender."
        "Go through the sender's settings in Twilio's console.";
    63009 Async Transient "The channel's provider failed."
        "Send again what is still wanted; see the provider's status page.";
    63010 Async Transient "Twilio failed inside on the way to the channel."
        "Send again what is still wanted; see status.twilio.com.";
    63011 Async Ambiguous "The channel reported an error without saying which."
        "Look at the conversation before sending again.";
    63012 Async Transient "The channel's provider failed inside."
        "Send again what is still wanted; see the provider's status page.";
    63013 Async Content "The message breaks a rule of the channel."
        "Change the text; repeated breaches cost the sender its quality rating.";
    63014 Async Recipient "The recipient blocks the sender."
        "Nothing: respect it.";
    63015 Both Destination "The recipient has not joined the WhatsApp sandbox, or joined more than three days ago."
        "Let them send `join <code>` to the sandbox, then requeue; or use a real WhatsApp sender.";
    63016 Async Content "A free text was sent more than 24 hours after the recipient's last message."
        "Use an approved template (content_sid), not the same words as text.";
    63017 Async Throttled "The account sends more than 2,000 messages a second."
        "Lower the rates of its senders here.";
    63018 Async Throttled "The channel's rate, or the sender's daily limit, is exceeded."
        "Lower the sender's rate here; a daily limit needs up to 24 hours.";
    63019 Async Ambiguous "The channel could not download the media."
        "Open the URL from outside; check its type, size and how long it lives, then send again if it is wanted.";
    63020 Both Sender "The Business Manager account is not linked or not approved."
        "Finish the set-up in Meta's Business Manager and accept Twilio's request there.";
    63021 Async Content "The channel calls the content invalid."
        "Read the channel's sentence in Twilio's log and correct the content.";
    63022 Both Sender "The sender's WhatsApp certificate (vname) is not valid."
        "Register the sender again in Twilio's console.";
    63023 Async Ambiguous "The channel reported an error without saying which."
        "Look at the conversation before sending again.";
    63024 Async Recipient "The channel could not verify the recipient."
        "Check that the number has an account there; send an SMS otherwise.";
    63026 Async Sender "The channel marked the sender as a source of spam."
        "Stop campaigns from this sender and read its quality rating in Meta's console.";
    63027 Async Content "The template does not exist in this language."
        "Have the template approved in the language, or send another one.";
    63028 Async Content "The number of variables is not the template's."
        "Give exactly the variables that the template names.";
    63029 Async Transient "The recipient's application could not fetch the template."
        "Send again later what is still wanted.";
    63030 Async Content "A parameter is not allowed on this channel."
        "Read the channel's sentence in Twilio's log and take the parameter away.";
    63031 Both Recipient "Recipient and sender are the same."
        "Correct the number at its source.";
    63032 Async Recipient "WhatsApp holds this recipient out of marketing for an experiment."
        "Nothing for this message: send an SMS if it matters.";
    63033 Async Recipient "The recipient blocks the sender."
        "Nothing: respect it.";
    63034 Async Content "The media are too large for the channel."
        "Make them smaller: 16 MB in all on WhatsApp, images 5 MB.";
    63036 Async Recipient "The recipient can't be reached by RCS."
        "Send an SMS.";
    63037 Async Transient "The media could not be handed to the channel."
        "Send again what is still wanted.";
    63038 Async Throttled "The account's daily number of messages is used up."
        "Wait 24 hours or upgrade the account; pause the bulk lane until then.";
    63040 Async Content "The template was rejected."
        "Read the reason in the Content Template Builder, correct it and have it approved.";
    63041 Async Content "The template is paused for its low quality."
        "Wait until WhatsApp lifts the pause (hours to days), or use another template.";
    63042 Async Content "The template is disabled."
        "Write a new template; a disabled one does not come back.";
    63049 Async RecipientTemporary "Meta chose not to deliver this marketing template to this person."
        "Never repeat it to numbers of the United States; elsewhere, try again after days.";
    63051 Async Sender "The WhatsApp Business account is locked."
        "Read the reason in Meta's Business Manager and appeal.";
    90007 Sync Content "The validity period is not a number in range."
        "It is 1 to 36,000 seconds: check the job's expires_at.";
    90014 Sync Content "The validity period is not valid."
        "It is 1 to 36,000 seconds: check the job's expires_at.";
    92005 Sync Content "The content variables are not a JSON object."
        "Give content_variables as names with texts.";
    92006 Sync Content "The content variables are too long, or not what the template wants."
        "Shorten them, and compare them with the template.";
    92007 Sync Content "The content template can't be used with these variables."
        "Compare content_variables with the template in Twilio's console.";
}
