use facteur_core::envelope::EnvelopeContent;
use facteur_core::lane::Lane;
use lapin::BasicProperties;
use lapin::message::Delivery;

use super::*;

fn publication(id: &str) -> Publication {
    let content = EnvelopeContent { message_id: Some(id.to_owned()), ..EnvelopeContent::default() };
    Publication::delayed(0, Lane::Normal, &content)
}

fn returned(publication: &Publication, names: &Names) -> BasicReturnMessage {
    let (exchange, key) = (cut(publication.exchange.name(names)), cut(publication.routing_key.clone()));
    let mut delivery = Delivery::mock(0, exchange, key, false, Vec::new());
    if let Some(id) = &publication.content.message_id {
        delivery.properties = BasicProperties::default().with_message_id(id.as_str().into());
    }
    BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
}

#[test]
fn a_return_is_told_to_its_publication_whichever_confirmation_carries_it() {
    let names = Names::new("f");
    let batch = ["a", "b", "c", "d"].map(publication);
    let confirmations = vec![
        Confirmation::Ack(Some(returned(&batch[3], &names))),
        Confirmation::Ack(None),
        Confirmation::Nack(Some(returned(&batch[0], &names))),
        Confirmation::Ack(None),
    ];
    let expected =
        [Err(PublishError::Unroutable), Ok(()), Err(PublishError::Refused), Err(PublishError::Unroutable)];
    assert_eq!(outcomes(batch.iter(), confirmations, &names), expected);
}

#[test]
fn publications_that_nothing_tells_apart_share_their_fate() {
    let names = Names::new("f");
    let mut elsewhere = publication("a");
    elsewhere.routing_key = "elsewhere".to_owned();
    let batch = [publication("a"), publication("a"), elsewhere];
    let confirmations = vec![
        Confirmation::Ack(None),
        Confirmation::Ack(Some(returned(&batch[0], &names))),
        Confirmation::Ack(None),
    ];
    let expected = [Err(PublishError::Unroutable), Err(PublishError::Unroutable), Ok(())];
    assert_eq!(outcomes(batch.iter(), confirmations, &names), expected);
}
