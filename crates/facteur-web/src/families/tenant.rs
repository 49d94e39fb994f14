//! Which tenant an application means.

use facteur_core::ids::Tenant;
use facteur_postgres::tenant_names;

use crate::access::Principal;
use crate::error::ApiError;
use crate::state::AppState;

/// Longest name that is looked up, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// The tenant that this name stands for: an application's own name for it, such as a UUID, or its slug. Without a name,
/// the bearer's.
///
/// # Errors
/// If the name stands for no tenant, or for one that is not the bearer's.
pub(crate) async fn named(
    app: &AppState,
    principal: &Principal,
    name: Option<&str>,
) -> Result<Tenant, ApiError> {
    let Some(name) = name.filter(|name| name.len() <= NAME_BYTES_MAX) else {
        return principal.tenant_for(name);
    };
    match tenant_names::of_alias(&app.database, &name.to_ascii_lowercase()).await? {
        Some(tenant) => principal.tenant_for(Some(tenant.as_str())),
        None => principal.tenant_for(Some(name)),
    }
}
