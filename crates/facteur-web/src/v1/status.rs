//! `GET /v1/status`: how much waits, and for how long.

use axum::extract::State;
use facteur_core::lane::Lane;
use facteur_postgres::{Outbox, messages, pauses};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::json::Json;
use crate::state::App;

/// Rows of the outbox that are counted for each lane, at most.
const COUNTED_MAX: i64 = 100_000;

/// The state of the whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusShown {
    lanes: Vec<LaneShown>,
    /// How many pauses stand.
    pauses: usize,
}

/// The state of a lane.
#[derive(Serialize, ToSchema)]
struct LaneShown {
    #[schema(example = "urgent")]
    lane: &'static str,
    /// Accepted messages that wait to be handed to the broker; at most 100,000 are counted.
    outbox: i64,
    /// The age of the oldest message that waits for its turn, in seconds; null if none does.
    oldest_waiting_s: Option<u64>,
}

/// How much waits in each lane, and for how long.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "operations",
    responses((status = 200, body = StatusShown), (status = 503, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn read(State(app): State<App>) -> Result<Json<StatusShown>, ApiError> {
    let oldest = messages::oldest_waiting(&app.database).await?;
    let outbox = Outbox::new(app.database.clone()).waiting(COUNTED_MAX).await?;
    let lanes = Lane::ALL.into_iter().zip(outbox).map(|(lane, outbox)| LaneShown {
        lane: lane.as_str(),
        outbox,
        oldest_waiting_s: oldest.get(&lane).map(std::time::Duration::as_secs),
    });
    let pauses = pauses::open(&app.database).await?.len();
    Ok(Json(StatusShown { lanes: lanes.collect(), pauses }))
}
