//! Shapes of the document that no type of ours derives.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// A value that can stand in a text, as [`facteur_core::document::Scalar`] reads it: a string, a number or a boolean.
pub(crate) enum ScalarShape {}

impl PartialSchema for ScalarShape {
    fn schema() -> RefOr<Schema> {
        let kinds = SchemaType::from_iter([Type::String, Type::Number, Type::Boolean]);
        let scalar = ObjectBuilder::new().schema_type(kinds);
        scalar.description(Some("A string, a number or a boolean.")).build().into()
    }
}

impl ToSchema for ScalarShape {
    fn name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }
}
