use std::collections::HashMap;

use super::*;
use crate::phone::{Country, PhoneNumber};

const HOME: &str = "AC0";

fn sender(text: &str) -> Sender {
    Sender::parse(text).unwrap()
}

fn home(is_shared: bool) -> Home {
    let (sms, whatsapp) = (Some(sender("HOME")), Some(sender("whatsapp:+15005550006")));
    Home { account: HOME.to_owned(), sms, whatsapp, is_shared }
}

fn integration(id: u128, kind: IntegrationType, from: &str, is_default: bool) -> Integration {
    Integration {
        id: Uuid::from_u128(id),
        kind,
        account: format!("AC{id}"),
        senders: vec![sender(from)],
        is_default,
    }
}

fn recipient(channel: Channel) -> Recipient {
    Recipient { channel, number: PhoneNumber::parse("+33612345678", Country::FRANCE).unwrap() }
}

/// Tenant, its integrations, whether the environment's account is shared, channel, named sender; sender, account.
type Row<'a> = (&'a str, &'a [Integration], bool, Channel, Option<&'a str>, Option<&'a str>, Option<&'a str>);

#[test]
fn each_message_takes_the_way_of_its_sender_its_tenant_or_the_environment() {
    use Channel::{Mms, Sms, Whatsapp};
    let acme = [
        integration(1, IntegrationType::Sms, "ONE", true),
        integration(2, IntegrationType::Sms, "TWO", false),
        integration(3, IntegrationType::Sms, "THREE", false),
    ];
    let given =
        HashMap::from([(sender("GIVEN"), Uuid::from_u128(3)), (sender("FOREIGN"), Uuid::from_u128(9))]);
    #[rustfmt::skip]
    let rows: [Row<'_>; 13] = [
        ("default", &[], false, Sms, None, Some("HOME"), Some("AC0")),
        ("default", &[], false, Whatsapp, None, Some("whatsapp:+15005550006"), Some("AC0")),
        ("default", &acme, false, Mms, None, Some("ONE"), Some("AC1")),
        ("default", &acme, false, Whatsapp, None, Some("whatsapp:+15005550006"), Some("AC0")),
        ("acme", &[], true, Sms, None, Some("HOME"), Some("AC0")),
        ("acme", &[], false, Sms, None, None, None),
        ("acme", &[], false, Sms, Some("ANY"), Some("ANY"), None),
        ("acme", &acme, true, Sms, None, Some("ONE"), Some("AC1")),
        ("acme", &acme, true, Sms, Some("ANY"), Some("ANY"), Some("AC1")),
        ("acme", &acme, true, Sms, Some("TWO"), Some("TWO"), Some("AC2")),
        ("acme", &acme, true, Sms, Some("GIVEN"), Some("GIVEN"), Some("AC3")),
        ("acme", &acme, true, Sms, Some("FOREIGN"), Some("FOREIGN"), Some("AC1")),
        ("acme", &acme, true, Whatsapp, None, None, None),
    ];
    for (tenant, own, is_shared, channel, named, from, account) in rows {
        let (tenant, home, recipient) = (Tenant::parse(tenant).unwrap(), home(is_shared), recipient(channel));
        let named = named.map(sender);
        let choice = Choice {
            tenant: &tenant,
            recipient: &recipient,
            named: named.as_ref(),
            own,
            pool: &[],
            home: &home,
        };
        let way = choose(choice, |sender| given.get(sender).copied());
        let found =
            (way.sender.as_ref().map(Sender::as_str), way.via.as_ref().map(|via| via.account.as_str()));
        assert_eq!(found, (from, account), "{tenant}, {channel:?}, {named:?}");
        assert_eq!(way.via.is_some_and(|via| via.integration.is_none()), account == Some(HOME));
    }
}

#[test]
fn a_pool_goes_before_the_integrations_own_sender_and_after_the_named_one() {
    let tenant = Tenant::parse("acme").unwrap();
    let (own, home) = ([integration(1, IntegrationType::Sms, "ONE", true)], home(true));
    let (pool, recipient, named) = ([sender("POOL")], recipient(Channel::Sms), sender("NAMED"));
    let choice =
        |named| Choice { tenant: &tenant, recipient: &recipient, named, own: &own, pool: &pool, home: &home };
    assert_eq!(choose(choice(None), |_| None).sender, Some(sender("POOL")));
    assert_eq!(choose(choice(Some(&named)), |_| None).sender, Some(named.clone()));
}

#[test]
fn a_recipient_keeps_its_sender_and_only_those_of_a_lost_one_get_another() {
    let pool: Vec<Sender> = (0..8).map(|n| sender(&format!("+3370000000{n}"))).collect();
    let recipients: Vec<String> = (0..4_000).map(|n| format!("+336{n:08}")).collect();
    let mut counts: HashMap<&Sender, usize> = HashMap::new();
    let smaller = &pool[1..];
    let mut turned = pool.clone();
    turned.reverse();
    for recipient in &recipients {
        let chosen = of_pool(&pool, recipient).unwrap();
        *counts.entry(chosen).or_default() += 1;
        assert_eq!(of_pool(&turned, recipient), Some(chosen), "whatever the order");
        if *chosen != pool[0] {
            assert_eq!(of_pool(smaller, recipient), Some(chosen));
        }
    }
    assert!(pool.iter().all(|sender| (400..=600).contains(&counts[sender])), "{counts:?}");
    assert_eq!(of_pool(&[], "+33612345678"), None);
    let before = of_pool(&pool, "+33612345678").map(Sender::as_str);
    assert_eq!(before, Some("+33700000007"), "also in another release");
}

#[test]
fn secrets_are_read_again_and_a_replaced_token_is_kept_for_a_while() {
    let exposed = |secrets: &Secrets| {
        let shown = |part: &Option<SecretString>| part.as_ref().map(|part| part.expose_secret().to_owned());
        [shown(&secrets.auth_token), shown(&secrets.auth_token_previous), shown(&secrets.api_secret)]
    };
    let token = |text: &str| Secrets { auth_token: Some(text.into()), ..Secrets::default() };
    let first = token("one\"\\é");
    let read = Secrets::from_text(first.to_text().expose_secret().as_bytes()).unwrap();
    assert_eq!(exposed(&read), exposed(&first));
    let second = first.renewed(&token("two"));
    assert_eq!(exposed(&second), [Some("two".to_owned()), Some("one\"\\é".to_owned()), None]);
    assert_eq!(exposed(&second.renewed(&token("two"))), exposed(&second), "the same token replaces none");
    let key = Secrets { api_secret: Some("key".into()), ..Secrets::default() };
    let third = second.renewed(&key);
    assert_eq!(exposed(&third)[2].as_deref(), Some("key"));
    assert_eq!(third.signing_tokens().count(), 2);
    assert!(!format!("{third:?}").contains("two"));
    assert!(Secrets::from_text(b"[]").is_none() && Secrets::from_text(b"x").is_none());
}
