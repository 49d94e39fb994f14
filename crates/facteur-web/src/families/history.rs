//! What a tenant sent, as the families list it.

use facteur_core::ids::Tenant;
use facteur_postgres::listing::{self, MessageSummary};
use facteur_postgres::tenant_messages;
use uuid::Uuid;

use crate::error::ApiError;
use crate::page::{Page, PageQuery, cursor};
use crate::state::AppState;

/// A page of a tenant's messages, of one channel or all, the newest first.
///
/// # Errors
/// If the page can't be asked for so, or the database not be asked.
pub(super) async fn page(
    app: &AppState,
    tenant: &Tenant,
    channel: Option<&str>,
    asked: &PageQuery,
) -> Result<Page<MessageSummary>, ApiError> {
    let (limit, after) = (asked.limit()?, asked.after()?);
    let page = tenant_messages::page(&app.database, tenant.as_str(), channel, after, limit).await?;
    let ids: Vec<Uuid> = page.places.iter().map(|place| place.id).collect();
    let mut data = listing::by_ids(&app.database, &ids).await?;
    data.sort_by_key(|message| std::cmp::Reverse((message.created_at, message.id)));
    Ok(Page { data, next_cursor: page.next.map(cursor) })
}
