//! A template and values, made ready to be sent: dates are written out, and what may be left out is empty.

use std::collections::BTreeMap;

use facteur_core::document::{JobDocument, Scalar};
use facteur_core::ids::Tenant;
use facteur_core::notifications;
use facteur_core::template::Template;
use facteur_core::written;
use facteur_postgres::FoundTemplate;
use facteur_postgres::tenants::{self, TenantSettings};

use crate::error::ApiError;
use crate::state::AppState;
use crate::v1::templates::preview::values;

/// A template with the values that go into it.
pub(crate) struct Notice {
    pub(crate) name: String,
    pub(crate) found: FoundTemplate,
    pub(crate) values: BTreeMap<String, String>,
}

/// Finds the tenant's template of that name, or else the built-in one, and makes its values ready; `None` if there is
/// no such template.
///
/// # Errors
/// If the database can't be asked.
pub(crate) async fn find(
    app: &AppState,
    tenant: &Tenant,
    name: &str,
    language: Option<&str>,
    data: &BTreeMap<String, Scalar>,
) -> Result<Option<Notice>, ApiError> {
    let settings = tenants::get(&app.database, tenant).await?;
    let language = language.or(settings.language.as_deref());
    let Some(found) = app.templates.find(tenant.as_str(), name, language).await? else { return Ok(None) };
    Ok(Some(Notice::of(name, found, data, &settings)))
}

impl Notice {
    /// Makes the values of a template ready.
    pub(crate) fn of(
        name: &str,
        found: FoundTemplate,
        data: &BTreeMap<String, Scalar>,
        tenant: &TenantSettings,
    ) -> Self {
        let mut values = values(data);
        if let Some(built_in) = notifications::find(name, "fr") {
            for optional in built_in.optional {
                values.entry((*optional).to_owned()).or_default();
            }
        }
        // What is no template any more is refused by the gate.
        if let Ok(template) = Template::parse(&found.text) {
            let zone = written::zone(&tenant.time_zone);
            written::write_out(&mut values, &template.names(), &found.language, &zone);
        }
        Self { name: name.to_owned(), found, values }
    }

    /// The job that sends it. The template is named, not its text, so that what holds a password is known by its name.
    pub(crate) fn document(self, to: String) -> JobDocument {
        let variables = self.values.into_iter().map(|(name, value)| (name, Scalar::Text(value)));
        JobDocument {
            to: Some(to),
            template: Some(self.name),
            language: Some(self.found.language),
            category: Some(self.found.category),
            variables: Some(variables.collect()),
            ..JobDocument::default()
        }
    }
}
