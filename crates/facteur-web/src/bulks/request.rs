//! The body of `POST /v1/bulks`, as the document describes it; it is read piece by piece, into these same types.

use facteur_core::bulk::RECIPIENTS_MAX;
use utoipa::openapi::schema::{ArrayBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::head::BulkHead;
use super::lines::Recipient;

/// The fields of a head, and `recipients` beside them: a flattened struct would refuse its neighbour.
pub(crate) enum BulkRequest {}

impl PartialSchema for BulkRequest {
    fn schema() -> RefOr<Schema> {
        let recipients = ArrayBuilder::new()
            .items(Ref::from_schema_name(Recipient::name()))
            .description(Some("Best the last field, so that it can be read as it comes."))
            .min_items(Some(1))
            .max_items(usize::try_from(RECIPIENTS_MAX).ok());
        let RefOr::T(Schema::Object(mut body)) = BulkHead::schema() else { return BulkHead::schema() };
        body.properties.insert("recipients".to_owned(), recipients.build().into());
        body.required.push("recipients".to_owned());
        body.description = Some("A bulk: what its messages share, and who gets them.".to_owned());
        Schema::Object(body).into()
    }
}

impl ToSchema for BulkRequest {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Recipient::name().into_owned(), Recipient::schema()));
        Recipient::schemas(schemas);
        BulkHead::schemas(schemas);
    }
}
